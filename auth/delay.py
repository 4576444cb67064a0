"""The least time between two logins of one user (LOGIN-DELAY, RFC 2449 section 6.5).

Kept in memory: after a restart everybody may log in at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST: Final = 100_000
"""Users remembered; beyond it those are forgotten who have not logged in for the longest time."""


class LoginDelay:
    """Of all users; `seconds` 0: none.  Time comes from `clock`, in seconds, monotonic."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[str, float] = {}

    def permits(self, address: str) -> bool:
        """Whether the user may log in now; then that counts as the last login."""
        if not self._seconds:
            return True
        now = self._clock()
        while self._last:
            oldest = next(iter(self._last))
            if self._last[oldest] + self._seconds > now and len(self._last) < MOST:
                break
            del self._last[oldest]
        if address in self._last:
            return False
        self._last[address] = now
        return True
