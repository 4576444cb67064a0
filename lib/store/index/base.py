"""The columns of an index file, read when they are needed.

A column is read in one piece, checked, and kept for all sessions of this thread, until other columns have filled the
memory allowed for them; reading it again costs a tenth of a millisecond for 100,000 messages.  So an idle session
holds none of it.  The file stays open: another that takes its place does not disturb whoever works with this one.
(Not mapped: a program that cuts a mapped file short kills everybody who looks at it.)
"""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, cast
from weakref import WeakValueDictionary

from pillarbox.lib.store.index.layout import (
    CODES,
    COLUMNS,
    HEADER_SIZE,
    Damaged,
    Header,
    Row,
    State,
    pack_header,
    parse_header,
    spans,
)

MEMORY: Final = 4 << 20
"""Octets of columns that one thread keeps between commands."""
SMALL: Final = 512 << 10
"""Octets of names that are read in one piece; of more only those that are wanted."""
_serials: Final = itertools.count()


class _Kept(threading.local):
    """What a thread holds: open files, and their columns, the one read last at the end."""

    def __init__(self) -> None:
        self.bases: WeakValueDictionary[tuple[int, int], Base] = WeakValueDictionary()
        self.columns: dict[tuple[int, str], memoryview] = {}
        self.size = 0


_kept: Final = _Kept()


class Base:
    """One index file, or the bytes of one in memory."""

    def __init__(self, fd: int, data: bytes, identity: tuple[int, int]) -> None:
        """Of the file `fd`, which this object closes, or, where it is -1, of `data`.  Raises Damaged."""
        self._fd = fd
        self._data = data
        self._serial = next(_serials)
        self._own: dict[str, memoryview] = {}
        self._checked: set[str] = set()  # large columns whose sum was right
        self.damaged = False
        """A column was not what was written."""
        self.identity = identity
        """Device and inode."""
        self.header: Header = parse_header(self.read(0, HEADER_SIZE))
        self._spans = spans(self.header)
        self.end = sum(self._spans["names"])
        """Where the log begins."""
        self.count = self.header.rows

    @classmethod
    def open(cls, path: str) -> Base:
        """Raises OSError, Damaged."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            about = os.fstat(fd)
            identity = (about.st_dev, about.st_ino)
            known = _kept.bases.get(identity)
            if known is not None:
                os.close(fd)
                return known
        except BaseException:
            os.close(fd)
            raise
        base = cls(fd, b"", identity)
        _kept.bases[identity] = base
        return base

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        columns = vars(_kept).get("columns")
        if columns is None:
            return  # the thread ends, and with it what it holds
        for name in COLUMNS:
            column = columns.pop((self._serial, name), None)
            if column is not None:
                _kept.size -= column.nbytes

    def read(self, offset: int, length: int) -> bytes:
        """So many octets; fewer at the end of the file.  Raises Damaged."""
        if self._fd < 0:
            return self._data[offset : offset + length]
        try:
            data = os.pread(self._fd, length, offset)
            while data and len(data) < length:
                more = os.pread(self._fd, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise Damaged(f"cannot read the index: {error.strerror}") from error
        return data

    def log(self, position: int, size: int) -> bytes:
        """The log from the logical `position` to the file's end, which is now at `size`."""
        start = self.end + position - self.header.log_start
        return self.read(start, max(0, size - start))

    def column(self, name: str) -> memoryview:
        """One of COLUMNS.  Raises Damaged."""
        key = (self._serial, name)
        column: memoryview | None = _kept.columns.get(key) or self._own.get(name)
        if column is not None:
            return column
        offset, size = self._spans[name]
        data = self.read(offset, size)
        if len(data) != size or zlib.crc32(data) != self.header.sums[COLUMNS.index(name)]:
            self.damaged = True
            raise Damaged("the mailbox's index was damaged; it is made anew")
        column = cast("memoryview", memoryview(data).cast(CODES[name]))  # type: ignore[call-overload]
        if self._fd < 0:
            self._own[name] = column
            return column
        if size > SMALL:
            self._checked.add(name)
        if size <= MEMORY:
            _kept.columns[key] = column
            _kept.size += size
            while _kept.size > MEMORY:
                oldest = next(iter(_kept.columns))
                _kept.size -= _kept.columns.pop(oldest).nbytes
        return column

    def value(self, name: str, place: int) -> Any:
        """What stands in one of the columns at row `place`.  Raises Damaged.

        One of a large mailbox that had to make way is not read whole for it again: the file has been looked at, and
        is never changed.
        """
        column = _kept.columns.get((self._serial, name))
        if column is not None:
            return column[place]
        if name not in self._checked:
            return self.column(name)[place]
        offset, size = self._spans[name]
        width = size // self.count
        data = self.read(offset + width * place, width)
        if len(data) != width:
            self.damaged = True
            raise Damaged("the mailbox's index was cut short; it is made anew")
        return memoryview(data).cast(CODES[name])[0]  # type: ignore[call-overload]

    def uid(self, place: int) -> int:
        """The UID of row `place`."""
        uid: int = self.value("uids", place)
        return uid

    @property
    def last_uid(self) -> int:
        """The highest UID, 0 for none."""
        return self.uid(self.count - 1) if self.count else 0

    def place(self, uid: int) -> int:
        """The row of a UID, -1 for none."""
        uids = self.column("uids")
        place = bisect_left(uids, uid)
        return place if place < self.count and uids[place] == uid else -1

    def name(self, place: int) -> bytes:
        """The file name of row `place`.  Its sum is not looked at: a name that is wrong leads nowhere."""
        names_offset, size = self._spans["names"]
        if size <= SMALL:
            start, end = self.column("places")[place : place + 2]
            name = bytes(self.column("names")[start : end - 1])
        else:
            start, end = memoryview(self.read(self._spans["places"][0] + 4 * place, 8)).cast("I")
            name = self.read(names_offset + start, end - start - 1) if start < end <= self.header.heap else b"/"
        if b"/" in name or b"\0" in name or not name:
            self.damaged = True
            raise Damaged("the mailbox's index was damaged; it is made anew")
        return name

    def row(self, place: int, *, named: bool = True) -> Row:
        """All of row `place`; without its name where that is not wanted."""
        return Row(
            self.value("marks", place),
            self.value("modseqs", place),
            self._fact("sizes", place),
            self._fact("dates", place),
            self.name(place) if named else b"",
        )

    def _fact(self, name: str, place: int) -> Any:
        """What can be found out again where it is lost."""
        try:
            return self.value(name, place)
        except Damaged:
            return -1

    def names(self) -> list[bytes]:
        """All names, in the order of the rows."""
        return self._split(bytes(self.column("names")), self.count)

    def names_at(self, start: int, stop: int) -> list[bytes]:
        """The names of the rows [start, stop).  As with `name`, those that are wrong lead nowhere."""
        offset, size = self._spans["names"]
        if size <= SMALL:
            first, *_, last = self.column("places")[start : stop + 1]
            return self._split(bytes(self.column("names")[first:last]), stop - start)
        places = memoryview(self.read(self._spans["places"][0] + 4 * start, 4 * (stop - start + 1))).cast("I")
        first, last = places[0], places[-1]
        if not first <= last <= self.header.heap:
            self.damaged = True
            raise Damaged("the index's names are damaged")
        return self._split(self.read(offset + first, last - first), stop - start)

    def _split(self, heap: bytes, count: int) -> list[bytes]:
        names = heap.split(b"\0")
        if len(names) != count + 1 or b"/" in heap:
            self.damaged = True
            raise Damaged("the index's names are damaged")
        names.pop()
        return names


@dataclass(slots=True)
class Columns:
    """What a new index file is made of."""

    uids: array[int]
    marks: array[int]
    modseqs: array[int]
    sizes: array[int]
    dates: array[float]
    names: list[bytes]
    gone_uids: array[int]
    gone_modseqs: array[int]

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Row]]) -> Columns:
        """From rows, ascending by UID."""
        columns = cls.empty()
        for uid, row in rows:
            columns.uids.append(uid)
            columns.marks.append(row.mark)
            columns.modseqs.append(row.modseq)
            columns.sizes.append(row.size)
            columns.dates.append(row.date)
            columns.names.append(row.name)
        return columns

    @classmethod
    def empty(cls) -> Columns:
        """No messages."""
        return cls(array("I"), array("I"), array("Q"), array("q"), array("d"), [], array("I"), array("Q"))

    def state(self, state: State) -> State:
        """`state` with the counts of these messages."""
        return state._replace(
            messages=len(self.uids),
            unseen=sum(1 for mark in self.marks if not mark & 1),
            deleted=sum(1 for mark in self.marks if mark & 8),
            fresh=sum(1 for mark in self.marks if mark & 32),
            size=sum(size for size in self.sizes if size > 0),
            unsized=sum(1 for size in self.sizes if size < 0),
        )


def build(
    columns: Columns,
    state: State,
    *,
    uid_validity: int,
    guid: bytes,
    floor: int,
    lineage: int = 0,
    log_start: int = 0,
    log: bytes = b"",
) -> bytes:
    """A whole index file.  `log` are the frames, already taken in, that the file repeats, from `log_start` on."""
    names = b"\0".join([*columns.names, b""])
    places = array("I", accumulate((len(name) + 1 for name in columns.names), initial=0))
    pieces: dict[str, bytes] = {
        "modseqs": columns.modseqs.tobytes(),
        "sizes": columns.sizes.tobytes(),
        "dates": columns.dates.tobytes(),
        "gone_modseqs": columns.gone_modseqs.tobytes(),
        "uids": columns.uids.tobytes(),
        "marks": columns.marks.tobytes(),
        "places": places.tobytes(),
        "gone_uids": columns.gone_uids.tobytes(),
        "names": names,
    }
    unseen = next((uid for uid, mark in zip(columns.uids, columns.marks, strict=True) if not mark & 1), 0)
    header = Header(
        lineage=lineage or secrets.randbits(63) | 1,
        log_start=log_start,
        log_applied=log_start + len(log),
        rows=len(columns.uids),
        vanished=len(columns.gone_uids),
        heap=len(names),
        uid_validity=uid_validity,
        first_unseen=unseen,
        floor=floor,
        guid=guid,
        sums=tuple(zlib.crc32(pieces[name]) for name in COLUMNS),
        state=state,
    )
    return b"".join([pack_header(header), *(pieces[name] for name in COLUMNS), log])


def in_memory(data: bytes) -> Base:
    """A base that is in no file."""
    return Base(-1, data, (0, 0))
