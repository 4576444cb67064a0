"""One item of a list of networks such as mynetworks: an address or a network, or `!` before one to leave it out."""

from __future__ import annotations

import ipaddress
import re

_ITEM = re.compile(r"(!?)\[?([0-9A-Fa-f:.]+)\]?(/[0-9]{1,3})?")


def parse_network(item: str) -> tuple[bool, ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Whether it is included, and the network; IPv6 may stand in brackets (`[::1]/128`).

    Raises ValueError for an item that is no network, or one with host bits set.
    """
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f'a network such as "192.0.2.0/24" or "[2001:db8::]/32" was expected, not "{item}"')
    try:
        return not match[1], ipaddress.ip_network(match[2] + (match[3] or ""))
    except ValueError as error:
        raise ValueError(f'"{item}": {error}') from None
