"""The form of a cache file: values that were worked out of messages, by field and UID.

    header   magic, UIDVALIDITY, where the sorted part ends, check sum of header and tables
    tables   for each field: number, count, UIDs (ascending), and for each value its place, length and check sum
    values   of the sorted part
    tail     records as they were appended: UID, field, length, check sum, value

The sorted part is found by bisection in the mapped file, so that a mailbox of 100,000 messages costs no memory of its
own; the tail is read once into a dictionary.  `packed` makes the sorted part of everything.  Everything is checked by
its sum before it is believed; what does not fit is `Damaged`, and the file is thrown away.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Final, Literal, TypeAlias
from zlib import crc32

Data: TypeAlias = "bytes | mmap"

MAGIC: Final = b"PBCACHE1"

HEADER: Final = struct.Struct("<8sIIQI")
"""Magic, UIDVALIDITY, number of tables, end of the sorted part, check sum of the rest and of the tables."""

_TABLE: Final = struct.Struct("<II")
RECORD: Final = struct.Struct("<IIII")
"""UID, field, length, check sum of these three and the value."""

_COLUMNS: Final[tuple[tuple[Literal["I", "Q"], int], ...]] = (("I", 4), ("Q", 8), ("I", 4), ("I", 4))
_ROW: Final = sum(width for _, width in _COLUMNS)
VALUE_LIMIT: Final = 64 * 1024
"""Octets of a value; a record that claims more is damage."""

_SWAP: Final = sys.byteorder != "little"


class Damaged(Exception):
    """The file is not what it should be."""


@dataclass(frozen=True, slots=True)
class Table:
    """The sorted values of one field."""

    uids: Sequence[int]
    places: Sequence[int]
    lengths: Sequence[int]
    sums: Sequence[int]

    def index(self, uid: int) -> int:
        """Where the UID stands, -1 where it does not."""
        found = bisect_left(self.uids, uid)
        return found if found < len(self.uids) and self.uids[found] == uid else -1


def new_header(uid_validity: int) -> bytes:
    """The whole of a new file."""
    return _header(uid_validity, 0, HEADER.size, b"")


def _header(uid_validity: int, count: int, end: int, tables: bytes) -> bytes:
    fixed = HEADER.pack(MAGIC, uid_validity, count, end, 0)[:-4]
    return fixed + struct.pack("<I", crc32(tables, crc32(fixed)))


def read_tables(data: Data, size: int, uid_validity: int) -> tuple[dict[int, Table], int]:
    """The tables by field, and where the tail begins.  Raises Damaged (also for another UIDVALIDITY)."""
    view = memoryview(data)
    if size < HEADER.size:
        raise Damaged("too short")
    magic, validity, count, end, total = HEADER.unpack_from(view, 0)
    if magic != MAGIC or validity != uid_validity or end > size or _SWAP:
        raise Damaged("not the cache of this mailbox")
    tables: dict[int, Table] = {}
    position = HEADER.size
    for _ in range(count):
        if position + _TABLE.size > end:
            raise Damaged("tables beyond the end")
        field, rows = _TABLE.unpack_from(view, position)
        position += _TABLE.size
        if position + rows * _ROW > end:
            raise Damaged("tables beyond the end")
        columns = []
        for code, width in _COLUMNS:
            columns.append(view[position : position + rows * width].cast(code))
            position += rows * width
        tables[field] = Table(*columns)
    if crc32(view[HEADER.size : position], crc32(view[: HEADER.size - 4])) != total:
        raise Damaged("wrong check sum")
    return tables, end


def record(uid: int, field: int, value: bytes) -> bytes:
    """A record of the tail."""
    head = RECORD.pack(uid, field, len(value), 0)[:-4]
    return head + struct.pack("<I", crc32(value, crc32(head))) + value


def read_records(data: Data, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """UID, field, place and length of each value of the tail between `start` and `end`.  Raises Damaged.

    A record that goes beyond the end is one that somebody is writing, or never finished.
    """
    view = memoryview(data)
    while end - start >= RECORD.size:
        uid, field, length, total = RECORD.unpack_from(view, start)
        place = start + RECORD.size
        if length > VALUE_LIMIT:
            raise Damaged("a record beyond all limits")
        if place + length > end:
            return
        if crc32(view[place : place + length], crc32(view[start : place - 4])) != total:
            raise Damaged("wrong check sum")
        yield uid, field, place, length
        start = place + length


def check_record(head: bytes, number: int, value: bytes) -> None:
    """Raise Damaged where `head`, which stands before a value of the tail, is not that of this `key` and value."""
    uid, field, length, total = RECORD.unpack(head)
    if key(field, uid) != number or length != len(value) or crc32(value, crc32(head[:-4])) != total:
        raise Damaged("another record than was there")


def key(field: int, uid: int) -> int:
    """The key of a value in `Tail`."""
    return field << 32 | uid


Tail: TypeAlias = dict[int, int]
"""By `key`: the place and the length of a value, `place << 20 | length`."""


def packed(
    data: Data, tables: Mapping[int, Table], tail: Tail, uid_validity: int, living: Collection[int] | None
) -> Iterator[bytes]:
    """The file in which all of these values are sorted, without those of messages that are neither `living` nor newer.

    What it keeps in memory are the places of the values, not the values.
    """
    fields: dict[int, dict[int, int]] = {}
    for field, table in tables.items():
        places = (place << 20 | length for place, length in zip(table.places, table.lengths, strict=True))
        fields[field] = dict(zip(table.uids, places, strict=True))
    for number, where in tail.items():
        fields.setdefault(number >> 32, {})[number & 0xFFFFFFFF] = where
    if living is not None:
        known = frozenset(living)
        newest = max(known, default=0)
        fields = {
            field: {uid: where for uid, where in found.items() if uid in known or uid > newest}
            for field, found in fields.items()
        }
    place = HEADER.size + len(fields) * _TABLE.size + sum(map(len, fields.values())) * _ROW
    joined = []
    for field, found in sorted(fields.items()):
        uids = array("I", sorted(found))
        new_places, lengths, sums = array("Q"), array("I"), array("I")
        for uid in uids:
            value = _value(data, found[uid])
            new_places.append(place)
            lengths.append(len(value))
            sums.append(crc32(value))
            place += len(value)
        joined += [_TABLE.pack(field, len(uids)), *(part.tobytes() for part in (uids, new_places, lengths, sums))]
    texts = b"".join(joined)
    yield _header(uid_validity, len(fields), place, texts)
    yield texts
    for _, found in sorted(fields.items()):
        for uid in sorted(found):
            yield _value(data, found[uid])


def _value(data: Data, where: int) -> bytes:
    place = where >> 20
    return data[place : place + (where & 0xFFFFF)]
