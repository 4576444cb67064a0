"""What is to happen later, by the scheduler's own clock.

`run_due` runs what is due; it is called by a timer of the event loop and by the queue manager's regular look at the
clock, so that a clock which is moved on by a test (or set by an administrator) moves these too.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable


class Timers:
    """Callbacks by time, in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._armed: asyncio.TimerHandle | None = None
        self._armed_for = 0.0

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
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._arm()

    def close(self) -> None:
        """Call nothing more."""
        self._heap.clear()
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
