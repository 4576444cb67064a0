"""What one agent has under way, and how much more it may be given.

A delivery that waits for a remote host costs the agent a few kilobytes and no work.  So what is limited is not how many
are under way, but how many are of each kind:

    known       to a destination that was swift the last time: at most `capacity`, for KNOWN_TIME
    strangers   to any other: at most `capacity` of their own, for STRANGER_TIME; this is how fast connections to hosts
                that nobody knows are begun
    waiting     those of both that were not answered in that time: at most `waiting`

So a host that is dead, slow or silent never takes the place of one that works, and needs no treatment of its own.  Only
where `waiting` is used up do strangers wait for one another; known ones go on.  An agent without room for waiting has
one kind only, and `capacity` is all that it is given.

Pure: time is given, in seconds.
"""

from __future__ import annotations

from collections import deque

KNOWN_TIME = 2.0
"""Seconds in which a swift destination answers: a greeting, TLS and a transaction over a slow line."""

STRANGER_TIME = 0.03
"""Seconds that a first contact counts as being begun.  With 0.1 the slots, not the processor, were what 5,000 dead
hosts took from others, and work came in trickles."""

SLACK = 100
"""Deliveries that have ended and are still in line, beside twice the capacity."""


class Occupancy:
    """The counts of one agent.  Deliveries are known by their tags."""

    __slots__ = ("_aging", "_capacity", "_count", "_kinds", "_room", "_waiting")

    def __init__(self, capacity: int, waiting: int = 0) -> None:
        self._capacity = capacity
        self._room = waiting
        self._kinds: dict[int, bool] = {}
        """Of those that do not wait: whether they are to known destinations."""
        self._waiting: set[int] = set()
        self._count = {True: 0, False: 0}
        self._aging: dict[bool, deque[tuple[float, int]]] = {True: deque(), False: deque()}
        """When which will count as waiting; with some that have ended meanwhile."""

    def __len__(self) -> int:
        return len(self._kinds) + len(self._waiting)

    def free(self, known: bool) -> int:
        """How many more of a kind may be given now."""
        if not self._room:
            return self._capacity - len(self._kinds)
        if known:
            return self._capacity - self._count[True]
        return min(self._capacity, self._room - len(self._waiting)) - self._count[False]

    def begin(self, tag: int, known: bool, now: float) -> None:
        """A delivery was handed over."""
        self._kinds[tag] = known
        if not self._room:
            return
        self._count[known] += 1
        line = self._aging[known]
        line.append((now + (KNOWN_TIME if known else STRANGER_TIME), tag))
        if len(line) > 2 * self._capacity + SLACK:
            self._aging[known] = deque(item for item in line if item[1] in self._kinds)

    def end(self, tag: int) -> None:
        """A delivery was answered."""
        known = self._kinds.pop(tag, None)
        if known is None:
            self._waiting.discard(tag)
        elif self._room:
            self._count[known] -= 1

    def age(self, now: float) -> list[int]:
        """Count as waiting what has not been answered in its time, as far as there is room; the known ones of these."""
        slow: list[int] = []
        for known, line in self._aging.items():
            while line:
                when, tag = line[0]
                if tag in self._kinds:
                    if now < when <= now + KNOWN_TIME or len(self._waiting) >= self._room:
                        break  # a time further ahead is that of a clock which was set back
                    del self._kinds[tag]
                    self._count[known] -= 1
                    self._waiting.add(tag)
                    if known:
                        slow.append(tag)
                line.popleft()
        return slow

    def next_change(self) -> float | None:
        """When `age` will make room, if nothing is answered before; None where it will not.  Call it after `age`."""
        if len(self._waiting) >= self._room:
            return None
        return min((line[0][0] for line in self._aging.values() if line), default=None)
