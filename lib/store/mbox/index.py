"""The index beside an mbox file: it alone holds UIDs, so it is durable.

A text file in the account's control directory.  A JSON object on the first line says UIDVALIDITY, next UID, the state
of the mbox file that the index describes, and how many lines follow that are a JSON list for a message each.  Every
line behind them is one change: an object with the rows that are new or other, the UIDs that are gone, and the same
members as the first line.  Changes are appended, and synced where they give UIDs; a line cut short counts as not
written.  When there are more changes than messages, and whenever most rows change, the file is replaced by rename.

Losing it costs UIDs, never mail: the next open makes a new one with a new UIDVALIDITY.
"""

from __future__ import annotations

import io
import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.system.files import sync_directory, without_waiting, write_all

_VERSION: Final = 2
_OLD_VERSION: Final = 1
"""Had no changes: all lines behind the first were messages."""
_FEW: Final = 200
"""Changed rows that are appended, however few messages there are."""
_TYPES: Final = (int, int, int, int, int, str, int, float, int, list, bool, int, list)
_WHOLE_SECONDS: Final = (*_TYPES[:7], int, *_TYPES[8:])
_UNREADABLE: Final = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
"""What damage in the file may become."""


@dataclass(slots=True)
class Row:
    """One message.  Offsets are those of `parse.Found`."""

    uid: int
    offset: int
    start: int
    end: int
    next: int
    fingerprint: str
    size: int
    date: float
    flags: int = 0
    keywords: tuple[str, ...] = ()
    recent: bool = True
    file_flags: int = 0
    """Flags in the file's status lines when last read: a difference means that another program changed them."""
    file_keywords: tuple[str, ...] = ()

    def fields(self) -> list[object]:
        """As written."""
        return [
            self.uid,
            self.offset,
            self.start,
            self.end,
            self.next,
            self.fingerprint,
            self.size,
            self.date,
            self.flags,
            list(self.keywords),
            self.recent,
            self.file_flags,
            list(self.file_keywords),
        ]


_uid: Final[Callable[[Row], int]] = attrgetter("uid")


@dataclass(slots=True)
class Index:
    """The index in memory; `rows` ascend by UID."""

    uid_validity: int
    next_uid: int = 1
    inode: int = 0
    size: int = 0
    mtime_ns: int = -1
    rows: list[Row] = field(default_factory=list)
    written: int = -1
    """Octets of the file that this was read from or written to; -1: the file must be replaced."""
    changed: int = 0
    """Rows in its changes."""
    object_id: str = ""
    """MAILBOXID, where UIDVALIDITY does not say it; stands in the first line only."""

    def describes(self, about: os.stat_result) -> bool:
        """Whether the mbox file is as it was when the index was written."""
        return (self.inode, self.size, self.mtime_ns) == (about.st_ino, about.st_size, about.st_mtime_ns)

    def remember(self, about: os.stat_result) -> None:
        """Note that the index describes the file in this state."""
        self.inode, self.size, self.mtime_ns = about.st_ino, about.st_size, about.st_mtime_ns

    def row(self, uid: int) -> Row | None:
        """The message with this UID."""
        position = bisect_left(self.rows, uid, key=_uid)
        return self.rows[position] if position < len(self.rows) and self.rows[position].uid == uid else None

    def head(self) -> dict[str, int]:
        """What stands in every line but those of single rows."""
        return {
            "uid_validity": self.uid_validity,
            "next_uid": self.next_uid,
            "inode": self.inode,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
        }


def _row(values: list[Any]) -> Row:
    values[9], values[12] = tuple(map(str, values[9])), tuple(map(str, values[12]))
    row = Row(*values)
    if tuple(map(type, row.fields())) not in (_TYPES, _WHOLE_SECONDS):
        raise ValueError("no row of an index")
    return row


def parse(data: bytes) -> Index | None:
    """Read a whole index; None when it cannot be understood."""
    file = io.BytesIO(data)  # not all lines at once: there may be very many
    try:
        head = json.loads(file.readline())
        if head["version"] not in (_VERSION, _OLD_VERSION):
            return None
        index = Index(*_numbers(head), object_id=str(head.get("object_id", "")))
        old = head["version"] == _OLD_VERSION
        if old:
            index.rows = [_row(json.loads(line)) for line in file if line.strip()]
        else:
            index.rows = [_row(_whole(file.readline())) for _ in range(int(head["rows"]))]
        if any(one.uid >= other.uid for one, other in pairwise(index.rows)):
            return None
    except _UNREADABLE:
        return None
    if not old:
        index.written = file.tell()
        _take_changes(index, file.read().split(b"\n"))
    return index


def _whole(line: bytes) -> list[Any]:
    if not line.endswith(b"\n"):
        raise ValueError("half a line")
    values: list[Any] = json.loads(line)
    return values


def _numbers(head: dict[str, Any]) -> tuple[int, int, int, int, int]:
    return (
        int(head["uid_validity"]),
        int(head["next_uid"]),
        int(head["inode"]),
        int(head["size"]),
        int(head["mtime_ns"]),
    )


def _take_changes(index: Index, lines: list[bytes]) -> None:
    """Apply changes; the last element of `lines` is what stands behind the last end of line."""
    end = index.written
    for line in lines[:-1]:
        try:
            change = json.loads(line)
            rows = [_row(values) for values in change["rows"]]
            gone = set(change["gone"])
            numbers = _numbers(change)
        except _UNREADABLE:
            index.written = -1  # what stands behind it means nothing
            return
        for row in rows:
            position = bisect_left(index.rows, row.uid, key=_uid)
            if position < len(index.rows) and index.rows[position].uid == row.uid:
                index.rows[position] = row
            else:
                index.rows.insert(position, row)
        if gone:
            index.rows = [row for row in index.rows if row.uid not in gone]
        index.uid_validity, index.next_uid, index.inode, index.size, index.mtime_ns = numbers
        index.changed += len(rows) + len(gone) + 1
        end += len(line) + 1
    index.written = end if not lines[-1] else -1


def read_index(path: str) -> Index | None:
    """The index at `path`; None when there is none or it cannot be understood.  Raises StoreUnavailable."""
    try:
        with open(path, "rb", opener=without_waiting) as file:
            return parse(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error


def read_on(path: str, index: Index) -> bool:
    """Take in the changes that others appended; false where the index must be read anew.  Raises StoreUnavailable."""
    if index.written < 0:
        return False
    try:
        with open(path, "rb", opener=without_waiting) as file:
            file.seek(index.written)
            _take_changes(index, file.read().split(b"\n"))
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error
    return True


def write_index(path: str, index: Index) -> None:
    """Replace the file.  Raises OSError."""
    head: dict[str, int | str] = {"version": _VERSION, **index.head(), "rows": len(index.rows)}
    if index.object_id:
        head["object_id"] = index.object_id
    index.written = -1
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(json.dumps(head).encode() + b"\n")
        for row in index.rows:
            file.write(json.dumps(row.fields()).encode() + b"\n")
        written = file.tell()
        file.flush()
        os.fsync(fd)
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))
    index.written, index.changed = written, 0


def append_change(path: str, index: Index, rows: Iterable[Row], gone: Iterable[int], *, durable: bool) -> bool:
    """Write a change down; false where the file is better replaced, and nothing was written.  Raises OSError."""
    changed = [row.fields() for row in rows]
    removed = list(gone)
    size = len(changed) + len(removed) + 1
    if index.written < 0 or index.changed + size > max(_FEW, len(index.rows)):
        return False
    line = json.dumps({**index.head(), "rows": changed, "gone": removed}).encode() + b"\n"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        before, index.written = index.written, -1
        if os.fstat(fd).st_size != before:
            return False
        try:
            write_all(fd, line)
        except OSError:
            os.ftruncate(fd, before)
            raise
        if durable:
            os.fdatasync(fd)
    finally:
        os.close(fd)
    index.written, index.changed = before + len(line), index.changed + size
    return True
