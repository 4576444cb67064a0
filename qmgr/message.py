"""A message in the active queue, and the jobs into which it is divided."""

from __future__ import annotations

import asyncio
import fcntl
import os
from dataclasses import dataclass, field

from pillarbox.lib.queue import Envelope, Queue, QueueFile, StoredRecipient, mark_done


class StillInDelivery(Exception):
    """An agent that a former queue manager set to work still holds the file."""


@dataclass(eq=False, slots=True)
class Job:
    """Recipients of one message that go the same way together; the unit that an agent is given."""

    message: ActiveMessage
    transport: str
    nexthop: str
    recipients: list[StoredRecipient]
    crashes: int = 0


@dataclass(eq=False, slots=True)
class ActiveMessage:
    """A message in active/.  Its descriptor is locked (flock) and shared with the agents that work on it, so that the
    lock lasts as long as any of them does, even if this process dies."""

    queue_id: str
    file: QueueFile
    path: str
    active: float
    next_record: int = 0
    unread: bool = False
    outstanding: int = 0
    deferred: int = 0
    failed: int = 0
    expired: bool = False
    has_logs: bool = False
    reasons_begun: bool = False
    reporting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a report of this message is under way, so that its logs grow in order."""

    @property
    def envelope(self) -> Envelope:
        """Sender, origin and conditions; without the recipients."""
        return self.file.envelope

    @property
    def descriptor(self) -> int:
        """The read-only descriptor that is handed to agents."""
        return self.file.descriptor

    def read_recipients(self, limit: int) -> list[StoredRecipient]:
        """The next recipients that are still to do, at most `limit`.  Raises CorruptQueueFile."""
        found: list[StoredRecipient] = []
        self.unread = False
        for stored in self.file.recipients(self.next_record):
            if len(found) >= limit:
                self.next_record = stored.n
                self.unread = True
                break
            if not stored.done:
                found.append(stored)
        return found

    def mark(self, recipients: list[int]) -> None:
        """Mark recipients done in the file.  Raises OSError."""
        if not recipients:
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for n in recipients:
                mark_done(descriptor, n)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


def take_up(queue: Queue, queue_id: str, source: str, now: float) -> ActiveMessage:
    """Move a message from `source` into active/ and open it.

    Raises FileNotFoundError (gone meanwhile), StillInDelivery, CorruptQueueFile, OSError.
    """
    path = queue.path("active", queue_id)
    if source != "active":
        os.rename(queue.path(source, queue_id), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file = QueueFile(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise StillInDelivery(queue_id) from None
    except BaseException:
        os.close(descriptor)
        raise
    return ActiveMessage(queue_id, file, path, now, has_logs=source != "incoming")
