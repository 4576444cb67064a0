"""What the queue holds, for people: one `Entry` per message, with its recipients that are still to do and why.

Promises: a message that moves or goes while it is looked at is passed over or shown where it was, never an error; one
message is in memory at a time, and the names of `SLICE` messages: however long a queue is, its first message is shown
at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pillarbox.lib.message.date import format_date
from pillarbox.lib.queue import outcomes
from pillarbox.lib.queue.directories import MAILDROP, Queue
from pillarbox.lib.queue.file import MAGIC, CorruptQueueFile, QueueFile
from pillarbox.lib.queue.maildrop import BadSubmission, read_submission

ORDER = (MAILDROP, "active", "incoming", "deferred", "hold")
"""The directories in the order in which they are listed."""

SLICE = 1000
"""Names that are sorted at a time: a queue that people read is in the order of arrival, a longer one nearly so."""

FORCED_EXPIRE = 0o100
"""The mode bit (execute, for the owner) of a queue file that is to expire at its next attempt (`postsuper -e`)."""

AT_ONCE = 0.0
"""The modification time of a deferred file that is to be tried now, for all its recipients, whatever the schedules of
their destinations say: somebody has asked for it (`postqueue -f`, `postsuper -H`)."""

FORCED_RELEASE = 0o010
"""The mode bit (execute, for the group) of a queue file that does not wait for its release time (`postsuper -H`)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recipient that is still to do; `reason` "" where delivery was not tried."""

    address: str
    original: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A message.  `size` is the content's in bytes; `recipients` is read as it is iterated, once."""

    queue: str
    queue_id: str
    arrival: float
    size: int
    sender: str
    forced_expire: bool
    recipients: Iterator[Waiting]


def entries(queue: Queue, names: tuple[str, ...] = ORDER) -> Iterator[Entry]:
    """The messages in the directories, in order; use each entry up before the next.  Raises OSError for directories
    that may not be read."""
    for name in names:
        for queue_id in _names(f"{queue.directory}/{name}"):
            path = f"{queue.directory}/{name}/{queue_id}"
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                with contextlib.suppress(CorruptQueueFile, BadSubmission, OSError):
                    if name == MAILDROP and os.pread(descriptor, len(MAGIC), 0) != MAGIC:
                        yield _submission(queue_id, descriptor)
                    else:  # in maildrop/ too, where postsuper -r has put it
                        yield _message(queue, name, queue_id, descriptor)
            finally:
                os.close(descriptor)


def _names(directory: str) -> Iterator[str]:
    with os.scandir(directory) as found:
        visible = (entry.name for entry in found if not entry.name.startswith("."))
        while some := sorted(islice(visible, SLICE)):
            yield from some


def _submission(name: str, descriptor: int) -> Entry:
    submission = read_submission(descriptor)
    status = os.fstat(descriptor)
    recipients = (Waiting(address, "", "") for address in submission.recipients)
    return Entry(MAILDROP, name, status.st_mtime, submission.length, submission.sender, False, recipients)


def _message(queue: Queue, name: str, queue_id: str, descriptor: int) -> Entry:
    file = QueueFile(descriptor)
    mode = os.fstat(descriptor).st_mode
    expire = bool(mode & FORCED_EXPIRE)
    envelope = file.envelope
    held = envelope.release > time.time() and not mode & FORCED_RELEASE
    recipients = _recipients(queue, queue_id, file, held_until(envelope.release) if held else "")
    return Entry(name, queue_id, envelope.arrival, file.length, envelope.sender, expire, recipients)


def held_until(release: float) -> str:
    """Why a message with a release time (RFC 4865) is not tried yet."""
    return f"held until {format_date(release)} as its sender asked (FUTURERELEASE)"


def _recipients(queue: Queue, queue_id: str, file: QueueFile, held: str) -> Iterator[Waiting]:
    """Those with a reason first, as the log has them, then those that were not tried; `held` is the reason for all."""
    todo = {stored.n: stored.recipient for stored in file.recipients() if not stored.done}
    with contextlib.suppress(OSError, ValueError):
        for outcome in outcomes.latest(outcomes.read(outcomes.log_path(queue.directory, "defer", queue_id))):
            recipient = todo.pop(outcome.n, None)
            if recipient is not None:
                yield Waiting(recipient.address, recipient.original, outcome.text)
    for recipient in todo.values():
        yield Waiting(recipient.address, recipient.original, held)
