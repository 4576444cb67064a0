"""Which servers are asked."""

from __future__ import annotations

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.dns import Server, choose_servers, configured_resolver, parse_server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", Server("192.0.2.1")),
        ("192.0.2.1:5353", Server("192.0.2.1", 5353)),
        ("::1", Server("::1")),
        ("[::1]:53000", Server("::1", 53000)),
        ("[192.0.2.1]", Server("192.0.2.1")),
    ],
)
def test_addresses_with_and_without_port(text: str, server: Server) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize(
    "text", ["", "ns.example.org", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:99999", "[::1", "[::1]x", "1:²"]
)
def test_errors_say_what_was_expected(text: str) -> None:
    if text == "192.0.2.1:":
        assert parse_server(text) == Server("192.0.2.1")
        return
    with pytest.raises(ValueError, match="expected"):
        parse_server(text)


def test_resolv_conf_is_used_where_nothing_is_configured() -> None:
    text = "# comment\nsearch example.org\nnameserver 192.0.2.1\nnameserver broken\nnameserver ::1\n"
    assert choose_servers((), text) == (Server("192.0.2.1"), Server("::1"))


def test_an_empty_resolv_conf_means_this_host() -> None:
    assert choose_servers((), "") == (Server("127.0.0.1"),)


def test_the_parameter_wins() -> None:
    assert choose_servers(("127.0.0.1:5353",), "nameserver 192.0.2.1") == (Server("127.0.0.1", 5353),)


def test_a_bad_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="DNS server"):
        configured_resolver(Config.for_tests(dns_resolver="nonsense"))
