"""How an agent whose queue manager died says what it has delivered: by locks in the queue file.

An agent can only read the file, and knows no other queue manager.  But its descriptor holds the message's lock
(flock), so that the next queue manager cannot take the message up meanwhile; and with a descriptor to read it may set a
shared lock on one byte (fcntl(2), F_OFD_SETLK): the first of a recipient's record, which is to be marked done.  A queue
manager that finds the message locked looks for these claims and marks the recipients, which the agent sees in the file,
and lets it go.  Locks need nobody's help, reach every reader of the file, and end with the last descriptor.
"""

from __future__ import annotations

import fcntl
import os
import struct

from pillarbox.lib.queue.file import DONE, HEADER_SIZE, TODO, mark_done

_LOCK = struct.Struct("hhqqi0q")
"""struct flock: type, whence, start, length, process (0 for locks of open files)."""

_RECORD = b"\n" + TODO + b"{"
"""How the record of a recipient who is to do begins, with the end of the line before."""


def claim(descriptor: int, n: int) -> None:
    """Say that the recipient at position `n` is done.  Raises OSError."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, n, 1, 0))


def is_done(descriptor: int, n: int) -> bool:
    """Whether the recipient at position `n` has been marked.  Raises OSError."""
    return os.pread(descriptor, 1, n) == DONE


def record_claims(path: str, end: int) -> int:
    """Mark the recipients that others claim to be done, of a message whose content begins at `end`; how many they were.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        count = 0
        for n in _claimed(descriptor, HEADER_SIZE, end):
            # Whoever has the file open may have set the lock: only a recipient can be marked.
            if os.pread(descriptor, len(_RECORD), n - 1) == _RECORD:
                mark_done(descriptor, n)
                count += 1
        return count
    finally:
        os.close(descriptor)


def _claimed(descriptor: int, begin: int, end: int) -> list[int]:
    """The positions in a part of the file that others have locked, one byte each."""
    found = []
    parts = [(begin, end)]
    while parts:
        begin, end = parts.pop()
        if begin >= end:
            continue
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, begin, end - begin, 0)
        kind, _, start, length, _ = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
        if kind == fcntl.F_UNLCK:
            continue
        if length == 1:
            found.append(start)
        parts += [(begin, start), (start + length if length else end, end)]
    return found
