"""Lists of networks such as mynetworks: is this address in it?

An item is an address or a network, IPv6 optionally in brackets (`[::1]/128`), or `!` before one to leave it out; the
first item that matches decides.  Answers are remembered, so that the second connection of a client costs a dictionary
access.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pillarbox.lib.address.network import parse_network

REMEMBERED = 4096
"""Addresses whose answer is kept; beyond it all are forgotten."""


class Networks:
    """The parsed list.  Raises ValueError for an item that is no network, or one with host bits set."""

    def __init__(self, items: Iterable[str]) -> None:
        self._items = [parse_network(item) for item in items]
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._find(address)
        return known

    def _find(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        for included, network in self._items:
            if address.version == network.version and address in network:
                return included
        return False


def plain_address(address: str) -> str:
    """An IPv4 address that came over an IPv6 socket in its own form; no scope."""
    if address.startswith("::ffff:") and "." in address:
        return address[7:]
    return address.partition("%")[0]


class ClientNetworks:
    """Clients as limits tell them apart: by network, of prefix lengths for IPv4 and IPv6; remembered."""

    def __init__(self, ipv4: int, ipv6: int) -> None:
        self._lengths = {4: ipv4, 6: ipv6}
        self._known: dict[str, str] = {}

    def of(self, address: str) -> str:
        """The network of an address; the address itself where all of it counts, and for what is none."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._find(address)
        return known

    def _find(self, address: str) -> str:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return address
        length = self._lengths[parsed.version]
        return address if length >= parsed.max_prefixlen else str(ipaddress.ip_network((parsed, length), strict=False))
