"""What is to happen later, by the scheduler's own clock.

`run_due` runs what is due; it is called by a timer of the event loop and by the queue manager's regular look at the
clock, so that a clock which is moved on by a test (or set by an administrator) moves these too.  Where it was set back,
all that waits happens at once, too early, instead of as much too late.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from pillarbox.lib.log import log

SET_BACK = 10.0
"""Seconds by which the clock must go back to count as set back; less is waited for."""


class Timers:
    """Callbacks by time, in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._armed: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._last = 0.0
        self.on_set_back: Callable[[], None] = lambda: None
        """Called before everything is, when the clock was set back."""

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` at `when`."""
        heapq.heappush(self._heap, (when, next(self._number), action))
        self._arm()

    def _arm(self) -> None:
        if not self._heap:
            return
        first = self._heap[0][0]
        if self._armed is not None:
            if self._armed_for <= first:
                return
            self._armed.cancel()
        self._armed_for = first
        self._armed = asyncio.get_running_loop().call_later(max(0.0, first - self._clock()), self._wake)

    def _wake(self) -> None:
        self._armed = None
        self.run_due()

    def run_due(self) -> None:
        """Call what is due."""
        now, last = self._clock(), self._last
        self._last = now
        if now < last - SET_BACK:
            log.warning(f"the clock was set back by {last - now:.0f} seconds or more; no pause is kept")
            waiting, self._heap = sorted(self._heap), []
            self.on_set_back()
            for _, _, action in waiting:
                action()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._arm()

    def close(self) -> None:
        """Call nothing more."""
        self._heap.clear()
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
