"""How long the answer to a wrong password is held back: doubling with each failure from the same address.

The delay is a wait on the event loop and costs nothing but the exchange's memory.  It slows guessing down; refusing a
client altogether is smtpd's and fail2ban's matter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

CEILING = 15.0
"""Seconds; a client that made a typing error must not give up first."""

FORGET = 60.0
"""Seconds without a failure after which an address starts anew."""

LIMIT = 10_000
"""Addresses remembered; beyond it the one that failed longest ago is forgotten."""

IPV6_PREFIX = 64
"""One customer has at least that many addresses to change between."""


class PenaltyTable:
    """Failures per client address.  `clock` in seconds, monotonic; `delay` is the first one's.

    A success does not clear them: who has one account could else guess at others at full speed.
    """

    def __init__(self, delay: float, clock: Callable[[], float]) -> None:
        self._delay = delay
        self._clock = clock
        self._failures: dict[str, tuple[float, int]] = {}

    def failed(self, client_address: str) -> float:
        """Note a failure; gives the seconds to wait before answering."""
        key = network(client_address)
        now = self._clock()
        last, count = self._failures.pop(key, (now, 0))
        if now - last > FORGET:
            count = 0
        if len(self._failures) >= LIMIT:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (now, count + 1)
        return min(self._delay * 2.0 ** min(count, 10), max(CEILING, self._delay)) if self._delay else 0.0


def network(client_address: str) -> str:
    """What is counted together: an IPv4 address, an IPv6 /64."""
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return client_address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
    return str(address)
