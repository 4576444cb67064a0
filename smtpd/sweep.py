"""Idle sessions are found by one timer per process, not one per session or line: a session only notes the time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

INTERVAL = 1.0
"""Seconds between two rounds; a round over 2,000 sessions takes well under a millisecond."""


class Idle(Protocol):
    """What can be swept."""

    def sweep(self, now: float) -> None:
        """Look whether time is up; `now` is the loop's time."""


class Sweeper:
    """Calls `sweep` on every member once per interval.  `members` is looked at anew each time."""

    def __init__(self, members: Iterable[Idle], interval: float = INTERVAL) -> None:
        self._members = members
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._round)

    def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        for member in list(self._members):
            member.sweep(now)
        self.start()

    def stop(self) -> None:
        """No further rounds."""
        if self._timer is not None:
            self._timer.cancel()
