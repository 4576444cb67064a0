"""The queue files that cleanup writes: prepared, filled, synced, renamed.

A file is made in incoming/ under a name that begins with a dot, or moved there from spare/, and locked (flock) as long
as its writer lives, so that the queue manager can tell a file in the making from what a crash has left.  Its inode
number is part of the message's queue id, so the id is known before the first byte has been written.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import Iterable

from pillarbox.cleanup.edits import pieces_of, sealed_file
from pillarbox.cleanup.spares import OPEN_FLAGS, Spares
from pillarbox.lib.queue import Envelope, compose_header, decode_id
from pillarbox.lib.queue.file import HEADER_SIZE, first_line
from pillarbox.lib.system.files import move_within, sync_batch, sync_directory, write_all

CLOCK_SLACK = 2_000_000
"""Microseconds by which the clocks of a client and of this process may differ (they are the same machine's)."""

WRITE_SIZE = 64 * 1024
"""Content gathered before it is written."""


PADDING_LIMIT = 4096
"""Most blanks by which a shorter envelope is filled up; beyond it the content is moved instead."""


class IncomingFile:
    """One queue file in the making.  Every method raises OSError where the disk does."""

    _numbers = itertools.count()

    def __init__(self, directory: str, spares: Spares | None = None) -> None:
        self._directory = directory
        self.descriptor = -1
        try:
            if not self._reuse(spares):
                self._create()
            status = os.fstat(self.descriptor)
        except OSError:
            self.discard()
            raise
        self.inode = status.st_ino
        self._old_size = status.st_size
        self._prepared = time.time_ns() // 1000
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._written = False
        self._offset = 0
        self._recipients = 0
        self.length = 0

    def _new_name(self) -> str:
        self._name = f"{self._directory}/.{os.getpid()}-{next(self._numbers)}"
        return self._name

    def _reuse(self, spares: Spares | None) -> bool:
        descriptor = spares.take(self._new_name()) if spares is not None else None
        if descriptor is not None:
            self.descriptor = descriptor
        return descriptor is not None

    def _create(self) -> None:
        """Make an empty file under a name that is new: a process of this number may have died here before."""
        while True:
            try:
                descriptor = os.open(self._new_name(), OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            self.descriptor = descriptor
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return

    def accepts(self, queue_id: str) -> bool:
        """Whether the id is one for this file: its inode, and a time since it was made.

        A time before that could belong to an earlier message that had the same inode.
        """
        try:
            microseconds, inode = decode_id(queue_id)
        except ValueError:
            return False
        now = time.time_ns() // 1000
        return inode == self.inode and self._prepared - CLOCK_SLACK <= microseconds <= now + CLOCK_SLACK

    def begin(self, envelope: Envelope) -> None:
        """Compose the envelope."""
        header, self._offset = compose_header(envelope)
        self._recipients = len(envelope.recipients)
        self._pieces.append(header)

    def amend(self, envelope: Envelope) -> None:
        """Another envelope in place of the one that `begin` was given; the content stays.  Raises ValueError as it."""
        header, offset = compose_header(envelope)
        self._recipients = len(envelope.recipients)
        if not self._written:
            self._pieces[0] = header
            self._offset = offset
            return
        self._flush()
        spare = self._offset - offset
        if 0 <= spare <= PADDING_LIMIT:
            # The envelope is JSON in a line of its own: blanks behind it mean nothing.
            end = header.index(b"\n", HEADER_SIZE)
            header = header[:end] + b" " * spare + header[end:]
        else:
            self._old_size = max(self._old_size, self.size)
            move_within(self.descriptor, self._offset, offset, self.length)
            self._offset = offset
        os.pwrite(self.descriptor, header, 0)
        os.lseek(self.descriptor, self.size, os.SEEK_SET)

    def write(self, content: bytes) -> None:
        """Take a piece of the content."""
        self._pieces.append(content)
        self.length += len(content)
        self._gathered += len(content)
        if self._gathered >= WRITE_SIZE:
            self._flush()

    # --- looked at and edited by others, before it is complete
    def reveal(self) -> tuple[int, int]:
        """A descriptor from which the content can be read, and where it begins; the caller closes it.

        A small message is copied into memory: its file may be written over one day (`spares`), and must not be in the
        hands of anybody then.
        """
        if self._written:
            self._flush()
            return os.open(self._name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), self._offset
        return sealed_file("content", self._pieces[1:]), 0

    def beginning(self, length: int) -> bytes:
        """So many bytes of the content."""
        if self._written:
            self._flush()
            return os.pread(self.descriptor, length, self._offset)
        return b"".join(self._pieces[1:])[:length]

    def replace_content(self, old_header: int, header: bytes | None, body: int) -> None:
        """Put another header in place of the first `old_header` bytes of the content, and the content of the memory
        file `body` in place of what follows; None and -1: what there is stays."""
        size = self.size
        if not self._written:
            content = b"".join(self._pieces[1:])
            rest = content[old_header:]
            first = content[:old_header] if header is None else header
            del self._pieces[1:]
            self.length = self._gathered = 0
            self.write(first)
        else:
            self._flush()
            rest = b""
            first_length = old_header if header is None else len(header)
            start = self._offset
            if body < 0:
                move_within(self.descriptor, start + old_header, start + first_length, self.length - old_header)
                self.length += first_length - old_header
            else:
                self.length = first_length
            if header is not None:
                os.lseek(self.descriptor, start, os.SEEK_SET)
                write_all(self.descriptor, header)
            os.lseek(self.descriptor, self.size, os.SEEK_SET)
            self._old_size = max(self._old_size, size)
        if body >= 0:
            self.write(b"\n")
            for piece in pieces_of(body, WRITE_SIZE):
                self.write(piece)
        elif rest:
            self.write(rest)

    @property
    def size(self) -> int:
        """The size of the file so far, envelope included."""
        return self._offset + self.length

    def _flush(self) -> None:
        write_all(self.descriptor, b"".join(self._pieces))
        self._pieces.clear()
        self._gathered = 0
        self._written = True

    def complete(self) -> None:
        """Write what remains, and last the line that says that all is there."""
        line = first_line(self._offset, self.length, self._recipients)
        if self._old_size > self.size:
            self._pieces.append(bytes(self._old_size - self.size))
        if self._written:
            self._flush()
            os.pwrite(self.descriptor, line, 0)
        else:
            self._pieces[0] = line + self._pieces[0][HEADER_SIZE:]
            self._flush()

    def publish(self, queue_id: str, directory: str = "") -> None:
        """Give the synced file its final name, in incoming/ or in another directory of the queue."""
        final = f"{directory or self._directory}/{queue_id}"
        os.rename(self._name, final)
        self._name = final
        self.close()

    def discard(self) -> None:
        """Remove the file, under whatever name it has."""
        with contextlib.suppress(OSError):
            os.unlink(self._name)
        self.close()

    def close(self) -> None:
        """Close the descriptor, which releases the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def sync_files(files: Iterable[IncomingFile]) -> None:
    """Put files on disk, all at once.  Raises OSError: then none may be taken as stored."""
    sync_batch([file.descriptor for file in files])


def sync_names(directory: int) -> None:
    """Put the names in incoming/ on disk."""
    sync_directory(directory)
