"""Next hops as they are written."""

from __future__ import annotations

import pytest

from pillarbox.lib.config import Config, Service
from pillarbox.smtp_client.destination import BadDestination, Destination, parse_destination
from pillarbox.smtp_client.ourselves import Ourselves, is_local_address


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("example.org", Destination("example.org", 25, use_mx=True)),
        ("example.org:2525", Destination("example.org", 2525, use_mx=True)),
        ("example.org.", Destination("example.org", 25, use_mx=True)),
        ("[mail.example.org]", Destination("mail.example.org", 25)),
        ("[mail.example.org]:submission", Destination("mail.example.org", 587)),
        ("[192.0.2.1]:24", Destination("192.0.2.1", 24)),
        ("[IPv6:2001:db8::1]", Destination("2001:db8::1", 25)),
        ("[2001:db8::1]:26", Destination("2001:db8::1", 26)),
        ("2001:db8::1", Destination("2001:db8::1", 25)),
        ("192.0.2.1", Destination("192.0.2.1", 25)),
        ("inet:host.example.org:24", Destination("host.example.org", 24)),
        ("unix:/run/lmtp", Destination(path="/run/lmtp", port=0)),
    ],
)
def test_forms(text: str, destination: Destination) -> None:
    assert parse_destination(text, 25) == destination


@pytest.mark.parametrize(
    "text", ["", ":25", "[host", "[]", "[host]25", "host:", "unix:", "host:0", "host:65536", "host:x"]
)
def test_what_is_no_next_hop(text: str) -> None:
    if text == "host:":
        assert parse_destination(text, 25).port == 25
        return
    with pytest.raises(BadDestination, match="expected"):
        parse_destination(text, 25)


def ourselves(listen: str = "inet:smtp", **values: str) -> Ourselves:
    services = {"smtpd": Service("smtpd", "smtpd", (listen,)), "pop3": Service("pop3", "pop3d", ("inet:pop3",))}
    return Ourselves(Config(values, services), local=lambda address: address.startswith("10."))


def test_local_addresses_are_ours_at_our_port_only() -> None:
    us = ourselves()
    assert us.is_us("10.0.0.1", 25)
    assert not us.is_us("10.0.0.1", 26)
    assert not us.is_us("10.0.0.1", 110)
    assert not us.is_us("192.0.2.1", 25)


def test_the_base_port_is_added() -> None:
    assert ourselves(base_port="10000").is_us("10.0.0.1", 10025)
    assert not ourselves(base_port="10000").is_us("10.0.0.1", 25)


def test_inet_interfaces_limits_what_is_ours() -> None:
    us = ourselves(inet_interfaces="10.0.0.1, [2001:DB8::1]")
    assert us.is_us("10.0.0.1", 25)
    assert us.is_us("2001:db8::1", 25)
    assert not us.is_us("10.0.0.2", 25)


def test_an_address_of_a_service_is_ours() -> None:
    us = ourselves("inet:127.0.0.9:smtp")
    assert us.is_us("127.0.0.9", 25)
    assert not us.is_us("127.0.0.1", 25)


def test_proxy_interfaces_are_ours() -> None:
    assert ourselves(proxy_interfaces="203.0.113.5").is_us("203.0.113.5", 25)


def test_which_addresses_this_machine_has() -> None:
    assert is_local_address("127.0.0.1")
    assert not is_local_address("192.0.2.1")
