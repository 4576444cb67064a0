"""Lists of networks."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.networks import REMEMBERED, ClientNetworks, Networks, plain_address

NETWORKS = Networks(["127.0.0.0/8", "[::1]/128", "192.0.2.7", "!198.51.100.5", "198.51.100.0/24", "2001:db8::/32"])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.1.1", "::1", "192.0.2.7", "198.51.100.4", "2001:db8:1::2"])
def test_inside(address: str) -> None:
    assert address in NETWORKS


@pytest.mark.parametrize(
    "address", ["128.0.0.1", "::2", "192.0.2.8", "198.51.100.5", "unknown", "", "127.0.0.1.example"]
)
def test_outside(address: str) -> None:
    assert address not in NETWORKS


@pytest.mark.parametrize("item", ["127.0.0.1/8", "example.org", "127.0.0.0/33", "hash:/etc/x", "[::1"])
def test_what_is_no_network_is_named(item: str) -> None:
    with pytest.raises(ValueError, match=r"expected|has host bits|does not appear"):
        Networks([item, *(["x"] if item == "[::1" else [])])


def test_answers_are_kept_but_not_for_ever() -> None:
    networks = Networks(["10.0.0.0/8"])
    for number in range(REMEMBERED + 10):
        assert f"10.0.{number >> 8}.{number & 255}" in networks
    assert len(networks._known) <= REMEMBERED


def test_mapped_addresses_are_ipv4() -> None:
    assert plain_address("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"


def test_clients_are_told_apart_by_network() -> None:
    networks = ClientNetworks(24, 84)
    assert networks.of("192.0.2.77") == "192.0.2.0/24"
    assert networks.of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2:3::/84"
    assert networks.of("unknown") == "unknown"
    assert ClientNetworks(32, 128).of("192.0.2.77") == "192.0.2.77"
    assert ClientNetworks(32, 128).of("2001:db8::1") == "2001:db8::1"
    assert ClientNetworks(0, 0).of("192.0.2.77") == "0.0.0.0/0"
