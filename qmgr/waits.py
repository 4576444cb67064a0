"""Recipients that wait for a time of their own, outside the schedule of their destination.

A server says "try again in 300 seconds"; the day's limit of a new address is reached.  The file of a message has one
time only, its earliest, so that these are kept in memory, and taken out when the message is taken up.  What is lost
with the process, or has no room, is tried as the schedule says: earlier or later, but tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RECIPIENTS_LIMIT = 50_000
"""Recipients that are remembered; further ones follow the schedule."""


@dataclass(slots=True)
class Waiting:
    """Of one message: the times of single recipients, by their number, and the time of the others."""

    each: dict[int, float] = field(default_factory=dict)
    others: float = 0.0


class Waits:
    """The messages that are in deferred/."""

    def __init__(self) -> None:
        self._messages: dict[str, Waiting] = {}
        self._count = 0

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._messages

    def __len__(self) -> int:
        return self._count

    def keep(self, queue_id: str, waiting: Waiting) -> None:
        """A message is deferred."""
        self.take(queue_id)
        if self._count + len(waiting.each) <= RECIPIENTS_LIMIT:
            self._messages[queue_id] = waiting
            self._count += len(waiting.each)

    def take(self, queue_id: str) -> Waiting | None:
        """It is taken up."""
        waiting = self._messages.pop(queue_id, None)
        if waiting is not None:
            self._count -= len(waiting.each)
        return waiting

    def forget(self) -> None:
        """An administrator wants everything tried now."""
        self._messages.clear()
        self._count = 0
