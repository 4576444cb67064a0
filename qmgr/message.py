"""A message in the active queue."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.lib.delivery.result import Result
from pillarbox.lib.queue import QUEUES, CorruptQueueFile, Envelope, Queue, QueueFile, StoredRecipient, mark_done
from pillarbox.lib.queue.claims import record_claims
from pillarbox.lib.queue.deliver_by import DeliverBy, parse_deliver_by
from pillarbox.lib.queue.directories import MAILDROP
from pillarbox.lib.queue.listing import FORCED_EXPIRE, FORCED_RELEASE
from pillarbox.qmgr.waits import Waiting

if TYPE_CHECKING:
    from pillarbox.qmgr.job import Job

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Why a good file may not be openable for a while."""


SEARCHES = 1000
"""How often a file that has been moved is looked for, in all."""


class StillInDelivery(Exception):
    """An agent that a former queue manager set to work still holds the file."""


@dataclass(eq=False, slots=True)
class ActiveMessage:
    """A message in active/.  Its descriptor is locked (flock) and shared with the agents that work on it, so that the
    lock lasts as long as any of them does, even if this process dies."""

    queue_id: str
    file: QueueFile
    envelope: Envelope
    """Sender, origin and conditions; without the recipients."""
    path: str
    active: float
    old: bool = False
    """Whether it came from deferred/."""
    next_record: int = 0
    unread: bool = False
    """Whether there are recipients that have not been read."""
    reading: bool = False
    """Whether recipients are being read and sorted."""
    full_at: int = 0
    """How many recipients were in memory when the last had been read."""
    outstanding: int = 0
    """Recipients in memory: read, and neither done nor put off."""
    deferred: int = 0
    failed: int = 0
    expired: bool = False
    has_logs: bool = False
    """Whether `bounce` may have notes on it: reasons why recipients wait, or reports."""
    has_reports: bool = False
    """Whether it may have reports that the sender has not got."""
    corrupt: str = ""
    """What is wrong with the rest of the file."""
    verdict: Result | None = None
    """What all its recipients get instead of a delivery."""
    flushed: bool = False
    """Whether somebody has asked for this attempt: it is made also where defer_transports says to wait."""
    searches: int = 0
    reasons_begun: bool = False
    partial: bool = False
    """Not all recipients may be due in this pass, and the reasons of the others stay."""
    planned: float = 0.0
    """When this pass was to take place; 0: now, and for all recipients (`AT_ONCE`)."""
    waiting: Waiting | None = None
    """Recipients that had a time of their own when it was taken up."""
    still: Waiting | None = None
    """Those that have one now."""
    next_attempt: float = 0.0
    """The earliest time at which one of its recipients is tried again; 0: none is known yet."""
    jobs: tuple[Job, ...] = ()
    """What it has for each transport."""
    _reporting: asyncio.Lock | None = None

    @property
    def reporting(self) -> asyncio.Lock:
        """Held while a report of this message is under way, so that its logs grow in order."""
        if self._reporting is None:
            self._reporting = asyncio.Lock()
        return self._reporting

    @property
    def since(self) -> float:
        """When its waiting began, in seconds since the epoch: it arrived, or was released (RFC 4865)."""
        return max(self.envelope.arrival, self.envelope.release)

    @property
    def deliver_by(self) -> DeliverBy | None:
        """Its deadline (RFC 2852)."""
        text = self.envelope.deliver_by
        return parse_deliver_by(text) if text else None

    @property
    def descriptor(self) -> int:
        """The read-only descriptor that is handed to agents."""
        return self.file.descriptor

    def tried_again_at(self, when: float) -> None:
        """A recipient has its next attempt then."""
        self.next_attempt = min(when, self.next_attempt) if self.next_attempt else when

    def read_recipients(self, limit: int) -> list[StoredRecipient]:
        """The next recipients that are still to do, at most `limit`.  Raises CorruptQueueFile."""
        found: list[StoredRecipient] = []
        self.unread = False
        for stored in self.file.recipients(self.next_record, limit):
            if len(found) >= limit:
                self.next_record = stored.n
                self.unread = True
                break
            if stored.done:
                self.has_logs = self.has_reports = True  # it may have failed, in a pass that did not come to its end
            else:
                found.append(stored)
        self.file.forget_ahead()
        return found

    def mark(self, recipients: list[int]) -> None:
        """Mark recipients done in the file.  Raises OSError."""
        if not recipients:
            return
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError:
            descriptor = os.open(self.whereabouts(), flags)
        try:
            for n in recipients:
                mark_done(descriptor, n)
        finally:
            os.close(descriptor)

    def whereabouts(self) -> str:
        """The path of the file: in active/, or where an administrator has moved it meanwhile.

        Raises FileNotFoundError where it is gone.
        """
        spool = self.path.rsplit("/", 2)[0]
        # It may move on while it is looked for: as long as it has a name it is somewhere.
        while (ours := os.fstat(self.descriptor)).st_nlink:
            for queue in ("active", *QUEUES, MAILDROP):
                path = f"{spool}/{queue}/{self.queue_id}"
                try:
                    found = os.lstat(path)
                except FileNotFoundError:
                    continue
                if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                    return path
            if not self._moves_left():
                break
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def _moves_left(self) -> bool:
        """Whether it is worth while to look once more: a name that is none of ours is not looked for for ever."""
        self.searches += 1
        return self.searches < SEARCHES

    def remove(self) -> None:
        """Delete the file wherever it is, even while an administrator moves it about.  Raises OSError."""
        path = self.path
        while True:
            try:
                os.unlink(path)
            except FileNotFoundError:
                path = self.whereabouts()  # raises where it is gone
            else:
                return

    def deleted(self) -> bool:
        """Whether an administrator has deleted it."""
        return not os.fstat(self.descriptor).st_nlink

    def to_expire(self) -> bool:
        """Whether an administrator wants the message returned instead of tried again (`postsuper -e`)."""
        return bool(os.fstat(self.descriptor).st_mode & FORCED_EXPIRE)

    def released(self, now: float) -> bool:
        """Whether it may be delivered: its release time has come, or an administrator does not want to wait for it."""
        return self.envelope.release <= now or bool(os.fstat(self.descriptor).st_mode & FORCED_RELEASE)

    def is_marked(self) -> bool:
        """Whether an administrator has left a mark in the file's mode."""
        return bool(os.fstat(self.descriptor).st_mode & (FORCED_EXPIRE | FORCED_RELEASE))

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


def take_up(queue: Queue, queue_id: str, source: str, now: float) -> ActiveMessage:
    """Move a message from `source` into active/ and open it.

    Raises FileNotFoundError (gone meanwhile), StillInDelivery, CorruptQueueFile: what is there cannot be a message of
    ours; OSError: not now, the file is where it was.
    """
    path = queue.path("active", queue_id)
    if source != "active":
        os.rename(queue.path(source, queue_id), path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise  # an administrator was faster
        if error.errno not in SHORTAGES:
            raise CorruptQueueFile(error.strerror or str(error)) from None
        if source != "active":
            os.rename(path, queue.path(source, queue_id))
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CorruptQueueFile("it is not a regular file")
        if not status.st_nlink:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)  # it was requeued before the lock
        file = QueueFile(descriptor)
    except BlockingIOError:
        try:
            _record_claims(descriptor, path)
        finally:
            os.close(descriptor)
        raise StillInDelivery(queue_id) from None
    except FileNotFoundError:
        os.close(descriptor)
        raise
    except OSError as error:
        os.close(descriptor)
        raise CorruptQueueFile(error.strerror or str(error)) from None
    except BaseException:
        os.close(descriptor)
        raise
    noted = source != "incoming"
    return ActiveMessage(
        queue_id, file, file.envelope, path, now, old=source == "deferred", has_logs=noted, has_reports=noted
    )


def _record_claims(descriptor: int, path: str) -> None:
    """Mark what agents of a former queue manager have delivered; not where its sender is to hear of each success."""
    try:
        file = QueueFile(descriptor)
        if not file.envelope.report:
            record_claims(path, file.offset)
    except (CorruptQueueFile, OSError):
        pass  # it will be seen when the file is free
