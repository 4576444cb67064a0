"""How long a service waits after its processes have died.

One accident must not stop intake for a minute, and a program that can't run must not spin: the pause starts at one
second, doubles with every further death in a row up to `service_throttle_time`, and is forgotten after a process has
lived longer than the pause.  A process that is killed in the middle of its work after a long life costs no pause.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE = 1.0
"""Seconds."""

LONG_LIFE = 10.0
"""A process that lived so many seconds died of an accident, not because it cannot run."""


@dataclass(slots=True)
class Throttle:
    """The pause of one service; times are of the monotonic clock."""

    longest: float
    pause: float = 0.0
    until: float = 0.0

    def died(self, lived: float, now: float) -> float:
        """A process has died after `lived` seconds; the pause in seconds before the next may start."""
        if lived >= max(LONG_LIFE, self.pause):
            self.pause = 0.0
            self.until = now
            return 0.0
        self.pause = min(self.longest, self.pause * 2 if self.pause else FIRST_PAUSE)
        self.until = now + self.pause
        return self.pause

    def ended(self, lived: float, now: float) -> None:
        """A process has ended without a fault after `lived` seconds: no pause, unless it has not even begun."""
        if lived < FIRST_PAUSE:
            self.until = now + FIRST_PAUSE

    def allows(self, now: float) -> bool:
        """Whether a process may be started."""
        return now >= self.until
