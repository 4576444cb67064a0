"""What a mailbox looked like, in a file beside its database: who opens it again reads only what has changed since.

    PBCOLS01, the length of the rest, its CRC-32
    {"boot": ..., "validity": ..., "uid_next": ..., "modseq": ..., "counts": [...], "meanings": [[mark, keywords], ...]}
    UIDs, marks, modification sequences, sizes, dates: an array each

The file may be missing, old or damaged, and is then not used; nothing is lost with it.  What a power loss may have
taken back is not believed: a file of another boot of this machine is not, and none is made of what has just changed.
Whether it is that database's at all the counts tell, which must be those of the mailbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import time
import zlib
from array import array
from dataclasses import dataclass
from functools import cache
from typing import Final

from pillarbox.lib.store.sql.tables import MailboxRow, time_of

FEW: Final = 500
"""Messages below which a file is not worth it."""
SETTLED: Final = 10.0
"""Seconds for which nothing must have changed."""
_MOST: Final = 1 << 29
"""Octets of a file that is read: some ten million messages."""
_HEAD: Final = struct.Struct("<8sQII")
_MAGIC: Final = b"PBCOLS01"
_TYPES: Final = ("I", "I", "q", "q", "q")

Columns = tuple["array[int]", "array[int]", "array[int]", "array[int]", "array[int]"]
"""UIDs, marks, modification sequences, sizes, dates."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mailbox as it was."""

    uid_next: int
    modseq: int
    counts: tuple[int, int, int, int]
    """Messages, unseen, deleted, octets."""
    meanings: dict[int, str]
    """The keywords, with blanks between, of each mark; its lowest bits are the flags."""
    columns: Columns


def counts_of(row: MailboxRow) -> tuple[int, int, int, int]:
    """What the database counts."""
    return row.messages, row.unseen, row.deleted, row.size


@cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def load(path: str, uid_validity: int) -> Kept | None:
    """The mailbox of this UIDVALIDITY, None where no file says what it was."""
    try:
        with open(path, "rb", buffering=0, opener=_nofollow) as file:
            magic, length, checksum, described = _HEAD.unpack(file.read(_HEAD.size))
            if magic != _MAGIC or not described <= length <= _MOST:
                return None
            data = file.read(length)
        if len(data) != length or zlib.crc32(data) != checksum:
            return None
        said = json.loads(data[:described])
        if said["validity"] != uid_validity or said["boot"] != _boot() or said["order"] != sys.byteorder:
            return None
        columns = tuple(array(kind) for kind in _TYPES)
        view, at = memoryview(data), described
        for column in columns:
            end = at + said["counts"][0] * column.itemsize
            column.frombytes(view[at:end])
            at = end
        if at != length:
            return None
        messages, unseen, deleted, size = said["counts"]
        meanings = {int(mark): str(words) for mark, words in said["meanings"]}
        if not meanings.keys() >= set(columns[1]):
            return None
        counts = (messages, unseen, deleted, size)
        return Kept(said["uid_next"], said["modseq"], counts, meanings, columns)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        return None


def worth_keeping(row: MailboxRow, changes: int) -> bool:
    """Whether a file is to be made of a mailbox that so many changes separate from the last one."""
    settled = time.time() - time_of(row.modseq) >= SETTLED
    return row.messages >= FEW and changes > FEW + row.messages // 32 and settled


def keep(path: str, row: MailboxRow, meanings: dict[int, str], columns: Columns) -> None:
    """Make the file; where that can't be, there is none."""
    said = {
        "boot": _boot(),
        "order": sys.byteorder,
        "validity": row.uid_validity,
        "uid_next": row.uid_next,
        "modseq": row.modseq,
        "counts": counts_of(row),
        "meanings": list(meanings.items()),
    }
    head = json.dumps(said).encode("ascii")
    head += b" " * (-len(head) % 8)
    data = head + b"".join(column.tobytes() for column in columns)
    new = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    try:
        with open(new, "xb", buffering=0, opener=_private) as file:
            file.write(_HEAD.pack(_MAGIC, len(data), zlib.crc32(data), len(head)))
            file.write(data)
        os.rename(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)


def _nofollow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
