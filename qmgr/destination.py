"""One destination of one transport: who waits, how many deliveries run, how many may.

The window follows what the destination shows it can take, as in Postfix: each success opens it by one up to the limit,
each failure to reach the destination closes it by one, and after a whole window of such failures the destination is
dead for a while.  A refusal of a recipient is no failure of the destination.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.qmgr.message import Job


@dataclass(eq=False, slots=True)
class Destination:
    """The queue of one (transport, next hop)."""

    transport: str
    nexthop: str
    window: int
    initial: int
    limit: int
    failed_cohort_limit: int
    waiting: deque[Job] = field(default_factory=deque)
    busy: int = 0
    failed_cohorts: float = 0.0
    dead_until: float = 0.0
    dead_reason: str = ""
    queued: bool = False

    def may_start(self) -> bool:
        """Whether a further delivery may begin now."""
        return bool(self.waiting) and self.busy < self.window

    def succeeded(self) -> None:
        """A delivery reached the destination."""
        self.failed_cohorts = 0.0
        if self.window < self.busy + self.initial and (not self.limit or self.window < self.limit):
            self.window += 1

    def failed(self, reason: str, now: float, pause: float) -> bool:
        """A delivery could not reach it; True where the destination is now taken as dead, for `pause` seconds."""
        self.failed_cohorts += 1.0 / self.window
        if self.failed_cohorts >= self.failed_cohort_limit:
            self.dead_until = now + pause
            self.dead_reason = reason
            self.failed_cohorts = 0.0
            self.window = self.initial
            return True
        self.window = max(1, self.window - 1)
        return False

    def dead(self, now: float) -> bool:
        """Whether deliveries are suspended."""
        return now < self.dead_until
