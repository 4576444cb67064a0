"""Where peers wait whose destination is a stranger, while no agent has room for one (`occupancy.py`).

A destination that was not swift the last time, or has never been seen, is a stranger.  Its peer has had its turn at the
agents when it comes here; those of other destinations pass it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pillarbox.qmgr.agents import AgentPool
from pillarbox.qmgr.destination import Destination
from pillarbox.qmgr.job import Peer
from pillarbox.qmgr.timers import Timers
from pillarbox.qmgr.turns import Turns


class Hall:
    """The hall of one transport; `again()` is called when there may be room although no agent has answered."""

    def __init__(self, pool: AgentPool, order: tuple[int, int], timers: Timers, again: Callable[[], None]) -> None:
        self._pool = pool
        self._line: Turns[Peer] = Turns(*order)
        self._fresh, self._bulk = self._line.fresh, self._line.bulk
        self._timers = timers
        self._again = again
        self._asked = math.inf

    def __bool__(self) -> bool:
        return bool(self._fresh or self._bulk)

    def admits(self, destination: Destination, now: float) -> bool:
        """Whether a delivery may begin; the caller has seen that there is room for known destinations."""
        return destination.swift or self._pool.free_agent(False, now) is not None

    def enter(self, peer: Peer) -> None:
        """Wait here."""
        (self._line.fresh if peer.job.fresh else self._line.bulk).append(peer)

    def next(self, now: float) -> Peer | None:
        """The next peer, if there is room for it."""
        while self._line and self._pool.free_agent(False, now):
            line = self._line.line()
            peer = line.popleft()
            self._line.served(line)
            if not peer.entries:
                continue  # they were given up
            if peer.nexthop.destination.has_room(now):
                return peer
            peer.nexthop.destination.park(peer, peer.job.fresh)
        return None

    def come_back(self) -> None:
        """There is no room: ask again when there is although nothing was answered."""
        when = self._pool.next_room()
        if when is not None and when < self._asked:
            self._asked = when
            self._timers.at(when, self._ask)

    def _ask(self) -> None:
        self._asked = math.inf
        self._again()

    def clear(self) -> None:
        """All that wait here have been given up."""
        self._line.fresh.clear()
        self._line.bulk.clear()
