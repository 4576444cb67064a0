"""Rewriting the end of an mbox file in place so that a crash at any moment loses nothing.

In place, because other programs wait for a lock on the very file: one that is replaced by rename would swallow their
mail.  The new end is first written to a journal beside the index and synced; then it is copied over the old one; then
the file is cut to its new length; then the journal goes.  Whoever finds a journal does the rest.

The new end is always shorter than the old one.  So the file tells how far a dead process came: the bytes that would be
cut off are either still there (their digest is in the journal) or not.  Mail that was appended meanwhile is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Final

from pillarbox.lib.store.lines import CHUNK
from pillarbox.lib.system.files import sync_directory, write_all

_HEAD: Final = 512
"""Bytes of the journal's first line, padded."""


def replace_end(fd: int, journal: str, start: int, pieces: Iterable[bytes]) -> None:
    """Make the bytes from `start` on those of `pieces`, fewer than there were.

    The caller holds the mailbox's locks.  Raises OSError; before the journal is in place the file is untouched, and
    after that the next `recover` completes the work.
    """
    _write_journal(fd, journal, start, pieces)
    _apply(fd, journal)


def _write_journal(fd: int, journal: str, start: int, pieces: Iterable[bytes]) -> None:
    about = os.fstat(fd)
    temporary = f"{journal}.new"
    out = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.lseek(out, _HEAD, os.SEEK_SET)
        length = 0
        for piece in pieces:
            write_all(out, piece)
            length += len(piece)
        if start + length >= about.st_size:
            raise ValueError("the new end is not shorter than the old one")
        head = {
            "inode": about.st_ino,
            "start": start,
            "length": length,
            "old_size": about.st_size,
            "cut": _digest(fd, start + length, about.st_size),
        }
        os.pwrite(out, json.dumps(head).encode().ljust(_HEAD - 1) + b"\n", 0)
        os.fsync(out)
    finally:
        os.close(out)
    os.rename(temporary, journal)
    sync_directory(os.path.dirname(journal))


def _apply(fd: int, journal: str) -> None:
    source = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = json.loads(os.pread(source, _HEAD, 0))
        start, length = head["start"], head["length"]
        _copy(source, _HEAD, fd, start, length)
        os.fsync(fd)
        os.ftruncate(fd, start + length)
        os.fsync(fd)
    finally:
        os.close(source)
    remove(journal)


def recover(fd: int, journal: str) -> bool:
    """Complete a rewrite that a dead process began; true when there was one.  The caller holds the locks."""
    try:
        source = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        head = json.loads(os.pread(source, _HEAD, 0))
        about = os.fstat(fd)
        new_end = head["start"] + head["length"]
        untouched = about.st_ino == head["inode"] and about.st_size >= head["old_size"]
        if untouched and _digest(fd, new_end, head["old_size"]) == head["cut"]:
            extra = about.st_size - head["old_size"]
            if extra:
                _fold_in(fd, source, journal, head, extra)
            else:
                _apply(fd, journal)
    finally:
        os.close(source)
    remove(journal)
    return True


def _fold_in(fd: int, source: int, journal: str, head: dict[str, int], extra: int) -> None:
    """Make a journal that ends with the mail appended since, and apply that."""

    def pieces() -> Iterable[bytes]:
        yield from read_range(source, _HEAD, head["length"])
        yield from read_range(fd, head["old_size"], extra)

    _write_journal(fd, journal, head["start"], pieces())
    _apply(fd, journal)


def remove(journal: str) -> None:
    """The work is done."""
    try:
        os.unlink(journal)
    except FileNotFoundError:
        pass


def read_range(fd: int, start: int, length: int) -> Iterable[bytes]:
    """`length` bytes from `start`, in pieces; fewer if the file is shorter."""
    while length > 0:
        data = os.pread(fd, min(CHUNK, length), start)
        if not data:
            return
        yield data
        start += len(data)
        length -= len(data)


def _copy(source: int, source_start: int, target: int, target_start: int, length: int) -> None:
    for data in read_range(source, source_start, length):
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, target_start)
            target_start += written
            view = view[written:]


def _digest(fd: int, start: int, end: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for data in read_range(fd, start, end - start):
        digest.update(data)
    return digest.hexdigest()
