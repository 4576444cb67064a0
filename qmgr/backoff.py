"""How slowly mail goes to a destination whose servers have asked for less.

Each such answer raises the destination's level by one: the time between two deliveries grows threefold, and fewer run
at once.  Answers to deliveries that were under way when it was raised do not count again.  Each row of successes, and
each long enough time without such an answer, lowers the level; at zero the destination is free.  Nothing is kept across
restarts, and no more than `PACES_LIMIT` destinations are remembered: what is forgotten is learnt again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from pillarbox.lib.log import log
from pillarbox.qmgr.replies import Advice, Kind

PACES_LIMIT = 1000
"""Destinations that are slowed down at once, at most."""

FIRST_INTERVAL = 2.0
"""Seconds between two deliveries at the first level."""

GROWTH = 3.0
"""How much longer each level's interval is."""

SUCCESSES = 5
"""Deliveries in a row, without an answer that asks for less, after which the level is lowered."""

PATIENCE = 300.0
"""Seconds without such an answer after which the level is lowered, or ten intervals where that is longer."""

BACKLOG = 300.0
"""Seconds for which deliveries may wait in memory for their turn; what would wait longer is deferred."""

UNLIMITED = sys.maxsize

REASON_LIMIT = 200
"""Characters of a reply that the log quotes."""


@dataclass(slots=True)
class Pace:
    """One destination that is slowed down.  Times are in seconds since the epoch."""

    level: int
    interval: float
    changed: float
    """When the level was raised, or lowered, last."""
    raised: float
    pause_until: float
    successes: int = 0

    @property
    def window(self) -> int:
        """How many deliveries may run at once."""
        return max(1, 4 >> self.level) if self.level else UNLIMITED

    @property
    def backlog(self) -> int:
        """How many deliveries may wait in memory."""
        return max(1, int(BACKLOG / self.interval)) if self.level else UNLIMITED

    def free(self) -> None:
        """Nothing holds any more, for whoever still has this."""
        self.level, self.interval, self.pause_until = 0, 0.0, 0.0


class Backoff:
    """The destinations that are slowed down, by a key: a site or a (transport, next hop)."""

    def __init__(self, longest: float, clock: Callable[[], float]) -> None:
        self._longest = max(longest, 0.0)
        self._clock = clock
        self._paces: dict[Hashable, Pace] = {}

    def __len__(self) -> int:
        return len(self._paces)

    def pace(self, key: Hashable) -> Pace | None:
        """How slowly, or None where nothing is known: the common case, which costs one look."""
        return self._paces.get(key) if self._paces else None

    def told(self, key: Hashable, name: str, advice: Advice, reply: str) -> bool:
        """A server has put mail off; whether that says anything of the destination.  `name` is what it is called in
        the log."""
        if advice.kind is not Kind.RATE or self._longest <= 0:
            return False
        now = self._clock()
        pace = self._paces.get(key)
        if pace is None:
            self._make_room()
            pace = self._paces[key] = Pace(0, 0.0, now, now, 0.0)
        elif now - pace.raised < pace.interval:
            pace.successes = 0
            pace.pause_until = max(pace.pause_until, self._pause(pace, advice, now))
            return True  # it was on its way when the level was raised
        pace.level += pace.interval < self._longest
        pace.interval = self._interval(pace.level)
        pace.changed = pace.raised = now
        pace.successes = 0
        pace.pause_until = self._pause(pace, advice, now)
        # The place in the dictionary says which was told last.
        del self._paces[key]
        self._paces[key] = pace
        log.info(
            f"mail to {name} is slowed down to one delivery every {pace.interval:g} seconds, "
            f"{pace.window} at once: {reply[:REASON_LIMIT]}"
        )
        return True

    def _pause(self, pace: Pace, advice: Advice, now: float) -> float:
        return now + max(pace.interval, min(advice.wait, self._longest))

    def _interval(self, level: int) -> float:
        return min(FIRST_INTERVAL * GROWTH ** min(level - 1, 50), self._longest)

    def _make_room(self) -> None:
        while len(self._paces) >= PACES_LIMIT:
            self._paces.pop(next(iter(self._paces))).free()

    def succeeded(self, key: Hashable, name: str) -> None:
        """A delivery went well."""
        pace = self.pace(key)
        if pace is None:
            return
        pace.successes += 1
        if pace.successes >= SUCCESSES:
            self._lower(key, name, pace)

    def _lower(self, key: Hashable, name: str, pace: Pace) -> None:
        pace.level -= 1
        pace.successes = 0
        pace.changed = self._clock()
        if pace.level > 0:
            pace.interval = self._interval(pace.level)
            return
        del self._paces[key]
        pace.free()
        log.info(f"mail to {name} goes at full speed again")

    def decay(self, named: Callable[[Hashable], str]) -> None:
        """Lower what has heard no complaint for long; to be called every now and then."""
        now = self._clock()
        for key, pace in list(self._paces.items()):
            if not 0 <= now - pace.changed < max(PATIENCE, 10 * pace.interval):
                self._lower(key, named(key), pace)

    def forget(self) -> None:
        """An administrator wants everything tried now."""
        for pace in self._paces.values():
            pace.free()
        self._paces.clear()
