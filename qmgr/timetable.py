"""When which deferred message is due: a heap in memory, filled once from the modification times in deferred/."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator

STALE = 1000
"""Entries that no longer hold, beyond as many as hold, that are kept until their time comes."""


class Timetable:
    """Times are in seconds since the epoch.  A message may be entered again; its last time counts."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._due))

    def __contains__(self, queue_id: object) -> bool:
        return queue_id in self._due

    def enter(self, queue_id: str, when: float) -> None:
        """The message is to be tried at `when`."""
        self._due[queue_id] = when
        heapq.heappush(self._heap, (when, queue_id))
        if len(self._heap) > 2 * len(self._due) + STALE:
            self._heap = [(time, name) for name, time in self._due.items()]
            heapq.heapify(self._heap)

    def remove(self, queue_id: str) -> None:
        """The message is no longer deferred."""
        self._due.pop(queue_id, None)

    def next_due(self, now: float) -> str | None:
        """Take out a message that is due, or None."""
        while self._heap and self._heap[0][0] <= now:
            when, queue_id = heapq.heappop(self._heap)
            if self._due.get(queue_id) == when:
                del self._due[queue_id]
                return queue_id
        return None


def read_due_times(directory: str) -> Iterator[tuple[str, float]]:
    """(name, modification time) of each file in a directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                yield entry.name, entry.stat(follow_symlinks=False).st_mtime
            except FileNotFoundError:
                continue
