"""The counts: open connections, and events within the current time unit, per service and client address.

A client's time unit begins with its first event and the counts start again with the first event after its end, as
anvil(8) does it.  No sockets here, and the clock is given.  Memory is bounded: a client without connections is
forgotten when its time unit is over, and `LIMIT` clients are the most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

LIMIT: Final = 100_000
"""Clients remembered at once, some 50 MB; beyond it, those without open connections are forgotten."""

KINDS: Final = ("connect", "message", "recipient", "auth", "tls")

_RATE_NAMES: Final = {"connect": "connection", "tls": "newtls"}
"""What anvil(8) calls a rate in its log lines, where that differs."""

Key = tuple[str, str]


@dataclass(slots=True)
class _Client:
    began: float
    connections: int = 0
    rates: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peak:
    """The greatest count since the last report."""

    what: str
    count: int
    service: str
    address: str
    when: float


class Counters:
    """All clients of all services."""

    def __init__(self, unit: float, clock: Callable[[], float]) -> None:
        self.unit = unit
        self._clock = clock
        self._clients: dict[Key, _Client] = {}
        self._peaks: dict[str, Peak] = {}
        self._most = 0

    def __len__(self) -> int:
        return len(self._clients)

    def connect(self, service: str, address: str) -> tuple[int, int]:
        """A connection began: (open connections, connections begun in the time unit)."""
        client = self._client((service, address))
        client.connections += 1
        self._peak("connection count", client.connections, service, address)
        return client.connections, self._count(client, "connect", service, address)

    def disconnect(self, service: str, address: str) -> None:
        """A connection ended; one that was never counted is ignored."""
        client = self._clients.get((service, address))
        if client is not None and client.connections:
            client.connections -= 1

    def count(self, service: str, address: str, kind: str) -> int:
        """An event: how many there were in the time unit, this one included."""
        return self._count(self._client((service, address)), kind, service, address)

    def rate(self, service: str, address: str, kind: str) -> int:
        """How many events there were in the time unit."""
        client = self._clients.get((service, address))
        if client is None or self._clock() - client.began >= self.unit:
            return 0
        return client.rates.get(kind, 0)

    def _client(self, key: Key) -> _Client:
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) >= LIMIT:
                self.forget(everyone=True)
            client = self._clients[key] = _Client(self._clock())
            self._most = max(self._most, len(self._clients))
        return client

    def _count(self, client: _Client, kind: str, service: str, address: str) -> int:
        now = self._clock()
        if now - client.began >= self.unit:
            client.began = now
            client.rates.clear()
        rate = client.rates[kind] = client.rates.get(kind, 0) + 1
        self._peak(f"{_RATE_NAMES.get(kind, kind)} rate", rate, service, address)
        return rate

    def _peak(self, what: str, count: int, service: str, address: str) -> None:
        known = self._peaks.get(what)
        if known is None or count > known.count:
            self._peaks[what] = Peak(what, count, service, address, self._clock())

    def forget(self, *, everyone: bool = False) -> None:
        """Drop clients without connections whose time unit is over, or all without connections."""
        oldest = self._clock() - self.unit
        self._clients = {
            key: client
            for key, client in self._clients.items()
            if client.connections or (client.began > oldest and not everyone)
        }

    def report(self) -> tuple[list[Peak], int]:
        """The peaks and the most clients remembered since the last report."""
        peaks, most = list(self._peaks.values()), self._most
        self._peaks = {}
        self._most = len(self._clients)
        return peaks, most

    def forget_connections(self, open_ones: Iterable[Key]) -> None:
        """A program has died with these connections open."""
        for (service, address), number in Counter(open_ones).items():
            for _ in range(number):
                self.disconnect(service, address)
