"""A queue that was copied here from elsewhere: noticed at start, and what a copy loses is put right.

A copy (cp, tar, rsync, a restored backup) gives every file another inode number, and may lose owners, modes and
modification times.  Whether that has happened is seen from `spool/.identity`, which names the inodes of the
directories: in a copy they are others.  What follows then, while nothing runs:

- owners and modes are those of this machine's mail owner (not in maildrop/, where the owner is who sends);
- a message that is not due yet, but whose time of the next attempt was lost, gets it back: the log in defer/ has the
  time of the last attempt, and the schedule says what follows;
- spare/ is emptied, as what is known of its files holds for the old disk;
- no id of a message that came along may lie in the future, by this machine's clock: one that does is given anew.

The last makes queue ids unique.  A new message gets the id (time, inode) with a time that is not before its file was
made (cleanup sees to it, within CLOCK_SLACK), thus after the start; all that were brought along have earlier times.  So
a new message whose inode is that in the name of a moved one still has another id, as long as the clock is not set back
behind the move.  Messages that were never copied need no such argument: while they exist nobody else has their inode.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pillarbox.lib.queue import outcomes
from pillarbox.lib.queue.directories import LOGS, MODES, QUEUES, SPARE, Queue
from pillarbox.lib.queue.file import CorruptQueueFile, QueueFile
from pillarbox.lib.queue.ids import decode_id, encode_id, is_queue_id

MARK = ".identity"
"""The file in the queue's directory that says where it lies."""

CLOCK_SLACK = 3.0
"""Seconds that the newest id must be old (cleanup takes ids of two seconds before it made their file)."""

FILE_MODE, MARKS = 0o600, 0o110
"""The mode of a queue file, and the bits in which `postsuper` leaves marks."""


@dataclass(slots=True)
class Repairs:
    """How many files were changed, by what was wrong with them."""

    owners: int = 0
    times: int = 0
    names: list[tuple[str, str]] = field(default_factory=list)
    """Old and new queue id of messages whose id lay in the future."""
    pause: float = 0.0
    """Seconds until the newest id is far enough in the past; nothing may start before."""

    @property
    def any(self) -> bool:
        """Whether something was wrong."""
        return bool(self.owners or self.times or self.names)


def identity(queue: Queue) -> str:
    """Where the queue lies: file system and inodes of its directories, which a copy does not share."""
    numbers = [str(os.statvfs(queue.directory).f_fsid)]
    for name in (".", *QUEUES):
        with contextlib.suppress(FileNotFoundError):
            numbers.append(str(os.stat(f"{queue.directory}/{name}").st_ino))
    return " ".join(numbers)


def moved(queue: Queue) -> bool:
    """Whether it was not here, or not at all, when it was last used.  Raises OSError."""
    try:
        with open(f"{queue.directory}/{MARK}", encoding="ascii", errors="replace") as file:
            return file.read(4096).strip() != identity(queue)
    except FileNotFoundError:
        return True


def remember(queue: Queue) -> None:
    """Note where the queue lies.  Raises OSError."""
    path = f"{queue.directory}/{MARK}"
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, f"{identity(queue)}\n".encode())
    finally:
        os.close(descriptor)
    os.rename(f"{path}.new", path)


def put_right(queue: Queue, now: float, interval: Callable[[float], float], uid: int = -1, gid: int = -1) -> Repairs:
    """Repair a queue that was copied, while nothing runs.  Raises OSError.

    `interval(age)` is the time from an attempt of a message of that age to the next, in seconds; `uid` and `gid` are to
    own the files (as root).
    """
    repairs = Repairs()
    queue.create(uid, gid)
    for name, mode in MODES.items():
        repairs.owners += _own(f"{queue.directory}/{name}", uid, gid, mode)
    for name in (*QUEUES, *LOGS, SPARE):
        folder = f"{queue.directory}/{name}"
        for entry in _files(folder):
            if name == SPARE:
                os.unlink(entry.path)
                continue
            mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
            # Bits that no queue file has came from the copying, and the marks with them.
            marks = 0 if mode & ~(FILE_MODE | MARKS) else mode & MARKS
            repairs.owners += _own(entry.path, uid, gid, FILE_MODE | marks)
            if name == "deferred" and is_queue_id(entry.name):
                repairs.times += _retime(queue, entry, now, interval)
    for name in QUEUES:
        with os.scandir(f"{queue.directory}/{name}") as found:
            inodes = {entry.name: entry.inode() for entry in found if is_queue_id(entry.name)}
        for queue_id, inode in inodes.items():
            microseconds, named = decode_id(queue_id)
            if inode == named:
                continue
            if (age := now - microseconds / 1e6) < 0:
                repairs.names.append((queue_id, _rename(queue, name, queue_id, now)))
            elif age < CLOCK_SLACK:
                repairs.pause = max(repairs.pause, CLOCK_SLACK - age)
    return repairs


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_file(follow_symlinks=False):
                yield entry


def _own(path: str, uid: int, gid: int, mode: int) -> bool:
    """Whether owner or mode had to be changed.  Never follows a link: what it leads to is not the queue's."""
    status = os.lstat(path)
    wrong_owner = uid >= 0 and (status.st_uid, status.st_gid) != (uid, gid)
    if wrong_owner:
        os.lchown(path, uid, gid)
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(path, mode)
        return True
    return wrong_owner


def _retime(queue: Queue, entry: os.DirEntry[str], now: float, interval: Callable[[float], float]) -> bool:
    """Give a message that looks due the time of its next attempt, where it is not due by its schedule."""
    if entry.stat(follow_symlinks=False).st_mtime > now:
        return False
    try:
        tried = max(each.when for each in outcomes.read(outcomes.log_path(queue.directory, "defer", entry.name)))
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False  # not tried, or nobody knows: it is tried now
    try:
        envelope = QueueFile(descriptor).envelope
    except CorruptQueueFile:
        return False
    finally:
        os.close(descriptor)
    when = tried + interval(tried - max(envelope.arrival, envelope.release))
    if when <= now:
        return False
    os.utime(entry.path, (when, when), follow_symlinks=False)
    return True


def _rename(queue: Queue, name: str, queue_id: str, now: float) -> str:
    """Give a message an id of this machine's past; its logs go with it."""
    inode = os.lstat(queue.path(name, queue_id)).st_ino
    microseconds = int((now - CLOCK_SLACK) * 1e6)
    while _taken(queue, fresh := encode_id(microseconds, inode)):
        microseconds -= 1
    for kind in LOGS:
        with contextlib.suppress(FileNotFoundError):
            os.rename(
                outcomes.log_path(queue.directory, kind, queue_id), outcomes.log_path(queue.directory, kind, fresh)
            )
    os.rename(queue.path(name, queue_id), queue.path(name, fresh))
    return fresh


def _taken(queue: Queue, queue_id: str) -> bool:
    return any(os.path.lexists(queue.path(name, queue_id)) for name in QUEUES)
