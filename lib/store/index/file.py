"""The index file: found, locked, extended, replaced.

Readers need no lock.  A writer holds flock(2) on the file itself and makes sure afterwards that it is still the one
that the name leads to.  Nothing is synced: after a power loss the file is right, recognised as damaged, or older than
the mailbox, and then the mailbox is looked at.  Every failure to write is an OSError, upon which the caller does
without the file.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.index.base import Base
from pillarbox.lib.store.index.layout import (
    FRAME_REAR,
    HEADER_SIZE,
    Damaged,
    Header,
    State,
    last_state,
    parse_frames,
    parse_header,
    spans,
)
from pillarbox.lib.store.locks import LOCK_TIMEOUT, flocked
from pillarbox.lib.system.files import write_all

NAME: Final = "pillarbox-index"
_TAIL: Final = 4096
"""Octets at the end of the file that are read to find the last frame."""

Seen = tuple[int, int, int]
"""Device, inode and size: another means that there is something to read."""


class IndexFile:
    """The index of the mailbox in `directory`; new files are made in `scratch`, on the same file system."""

    def __init__(self, directory: str, scratch: str) -> None:
        self.path = f"{directory}/{NAME}"
        self._scratch = scratch

    def look(self) -> Seen | None:
        """The file as it is now, None where there is none.  Raises OSError."""
        try:
            about = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return about.st_dev, about.st_ino, about.st_size

    def open(self) -> Base:
        """Raises OSError, Damaged."""
        return Base.open(self.path)

    @contextmanager
    def locked(self, make: bool = True) -> Iterator[Writer]:
        """Hold the lock; the file is made, empty, where there is none and `make` is true.

        Raises OSError when the file cannot be written, MailboxBusy.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_CREAT if make else 0)
        deadline = time.monotonic() + patience.limit(LOCK_TIMEOUT)
        while True:
            fd = os.open(self.path, flags, 0o600)
            try:
                if not flocked(fd, fcntl.LOCK_EX, deadline):
                    raise patience.busy("the mailbox's index is locked by another process")
                about, named = os.fstat(fd), self.look()
                if named is not None and named[:2] == (about.st_dev, about.st_ino):
                    break
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        writer = Writer(self.path, self._scratch, fd)
        try:
            yield writer
        finally:
            writer.close()


class Writer:
    """The file while it is locked."""

    def __init__(self, path: str, scratch: str, fd: int) -> None:
        self._path = path
        self._scratch = scratch
        self._fd = fd

    def append(self, frame: bytes, end: int) -> int:
        """Write a frame at `end`, where the last whole one ends; gives the new end.  Raises OSError."""
        try:
            if os.fstat(self._fd).st_size > end:
                os.ftruncate(self._fd, end)  # what a writer left that was killed
            written = 0
            while written < len(frame):
                written += os.pwrite(self._fd, frame[written:], end + written)
        except OSError:
            try:
                os.ftruncate(self._fd, end)
            except OSError:
                pass
            raise
        return end + len(frame)

    def replace(self, data: bytes) -> None:
        """Put another file in the file's place, and hold its lock too.  Raises OSError."""
        temporary = f"{self._scratch}/{NAME}.{os.getpid()}.{time.time_ns()}"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            write_all(fd, data)
            os.rename(temporary, self._path)
        except BaseException:
            os.close(fd)
            try:
                os.unlink(temporary)
            except OSError:
                pass
            raise
        self.close()
        self._fd = fd

    def close(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def peek(directory: str) -> tuple[Header, State] | None:
    """Header and newest state of the index in `directory`, read without its columns; None where there is none."""
    try:
        fd = os.open(f"{directory}/{NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        size = os.fstat(fd).st_size
        header = parse_header(os.pread(fd, HEADER_SIZE, 0))
        end = sum(spans(header)["names"])
        log = end + header.log_applied - header.log_start
        if size < log:
            return None
        if size == log:
            return header, header.state
        state = last_state(os.pread(fd, min(_TAIL, size - log), max(log, size - _TAIL))) if size >= FRAME_REAR else None
        if state is None:
            frames, _ = parse_frames(os.pread(fd, size - log, log))
            state = frames[-1].state if frames else header.state
        return header, state
    except (Damaged, OSError):
        return None
    finally:
        os.close(fd)
