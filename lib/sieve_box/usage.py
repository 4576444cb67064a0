"""How much processor time users' own scripts have taken lately: one user's script must not hold up everybody's mail.

What a run takes beyond what scripts usually take is summed up for its user.  Once the sum has reached what one message
may take, the user's script is not run any more, until for a while nothing has been added.  Kept in the memory of a
process; users whose scripts are quick are not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SIGNIFICANT: Final = 0.1
"""The part of the limit from which on a run counts: scripts that take less may do so for every message."""

MOST_USERS: Final = 1000
"""Users remembered; beyond it those are forgotten who have taken nothing for the longest time."""


class Usage:
    """Of all users; one per process.  `limit` (of processor time, 0: none), `timeout` and `clock` are in seconds."""

    def __init__(self, limit: float, timeout: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._timeout = timeout
        self._clock = clock
        self._taken: dict[str, tuple[float, float]] = {}
        """By user: the sum, and when it was added to."""

    def used_up(self, user: str) -> bool:
        """Whether the user's script is not to be run now."""
        return bool(self._taken) and self._sum(user) >= self._limit

    def add(self, user: str, seconds: float) -> None:
        """A run of the user's script has taken so much processor time."""
        if not self._limit or not self._timeout or seconds < SIGNIFICANT * self._limit:
            return
        total = self._sum(user) + seconds
        self._taken.pop(user, None)
        self._taken[user] = (total, self._clock())
        if len(self._taken) > MOST_USERS:
            del self._taken[next(iter(self._taken))]

    def _sum(self, user: str) -> float:
        total, last = self._taken.get(user, (0.0, 0.0))
        if total and not 0 <= self._clock() - last < self._timeout:  # also where the clock was set back
            del self._taken[user]
            return 0.0
        return total
