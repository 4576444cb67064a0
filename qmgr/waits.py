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
    """Those of the messages that are in deferred/, and how many there are of all messages, the active ones too."""

    def __init__(self) -> None:
        self._messages: dict[str, Waiting] = {}
        self._count = 0

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._messages

    def __len__(self) -> int:
        return self._count

    def note(self, waiting: Waiting, n: int, until: float) -> bool:
        """Remember the time of a recipient; False where there is no room for it."""
        if n not in waiting.each:
            if self._count >= RECIPIENTS_LIMIT:
                return False
            self._count += 1
        waiting.each[n] = until
        return True

    def keep(self, queue_id: str, waiting: Waiting) -> None:
        """A message is deferred."""
        self.drop(queue_id)
        self._messages[queue_id] = waiting

    def take(self, queue_id: str) -> Waiting | None:
        """It is taken up; what it had is to be released when it has been used."""
        return self._messages.pop(queue_id, None)

    def drop(self, queue_id: str) -> None:
        """Somebody else has taken it out of the queue, or wants all of it tried."""
        self.release(self.take(queue_id))

    def release(self, waiting: Waiting | None) -> None:
        """Nobody needs these times any more."""
        if waiting is not None:
            self._count -= len(waiting.each)
            waiting.each = {}

    def forget(self) -> None:
        """An administrator wants everything tried now."""
        for queue_id in list(self._messages):
            self.drop(queue_id)
