"""The bytes of an index file: a header, columns, a heap of names, then a log of frames to its end.

Header and columns never change; a frame, once complete, does not either.  Every part has a CRC-32: what a power loss,
another program or another version left is recognised and the index made anew.  All numbers are little-endian.

A frame is `length, CRC, records, state, length, mark`: readable from the front, and its state, which counts the whole
mailbox, from the end of the file.  Log positions are *logical*: they go on when the file is replaced by one whose
columns have taken in the log so far, so that a session finds its place in the new file (which repeats the end of the
old log).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pillarbox.lib.store.interface import StoreUnavailable

MAGIC: Final = b"PBindex\x01"
"""The last octet is the version."""
FRAME_MARK: Final = 0x4D614C66

FLAG_BITS: Final = 0b1_1111
"""The system flags in a mark."""
FRESH: Final = 1 << 5
"""In a mark: the message lies in new/, nobody was told of it as recent.  In a session's snapshot: it is recent."""
KEYWORD_SHIFT: Final = 6
"""Above: a bit for each keyword letter, `a` first."""

NEW: Final = 1
FLAGS: Final = 2
"""The name, and with it flags and keywords, is another."""
GONE: Final = 3
FACT: Final = 4
"""Size and date have become known."""


class Damaged(StoreUnavailable):
    """The index is not what was written: the next look at the mailbox makes it anew."""


class State(NamedTuple):
    """The mailbox as a whole, and up to which state of the files the index is right."""

    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    fresh: int = 0
    """Messages in new/."""
    size: int = 0
    """Sum of the sizes that are known."""
    unsized: int = 0
    """Messages whose size is not known yet."""
    lines: int = 0
    """Lines of the UID list, those of vanished messages included."""
    uid_next: int = 1
    modseq: int = 0
    new_stamp: int = -1
    """Modification time of new/ in nanoseconds."""
    cur_stamp: int = -1
    new_due: int = 0
    """When to look again although the time stamp stayed (nanoseconds since the epoch); 0: never."""
    cur_due: int = 0
    list_inode: int = 0
    """Of the UID list as far as it is taken in."""
    list_end: int = 0
    uidls: int = 0
    """Messages with a POP3 unique-id of their own in the UID list."""


class Record(NamedTuple):
    """One change."""

    kind: int
    uid: int
    mark: int = 0
    modseq: int = 0
    size: int = -1
    date: float = -1.0
    name: bytes = b""


class Row(NamedTuple):
    """What is known of one message."""

    mark: int
    modseq: int
    size: int
    date: float
    name: bytes


class Frame(NamedTuple):
    """Changes made together, and the state after them."""

    records: tuple[Record, ...]
    state: State


class Header(NamedTuple):
    """The first bytes of the file."""

    lineage: int
    """A random number, new when the index is made anew: log positions of another lineage mean nothing."""
    log_start: int
    """The logical position of the first frame in the file."""
    log_applied: int
    """The position up to which the columns have taken in the log."""
    rows: int
    vanished: int
    heap: int
    """Octets of the heap."""
    uid_validity: int
    first_unseen: int
    """UID of the first message without Seen, 0 for none."""
    floor: int
    """All messages that vanished with a higher modification sequence are listed."""
    guid: bytes
    """The mailbox's, from the UID list."""
    sums: tuple[int, ...]
    """A CRC-32 for each column."""
    state: State


_STATE: Final = struct.Struct("<IIIIqIIQQqqqqQQI4x")
_HEADER: Final = struct.Struct("<8sQQQIIQIIQ32s9I")
_RECORD: Final = struct.Struct("<BxHIIIQqd")
_FRONT: Final = struct.Struct("<II")
_REAR: Final = struct.Struct("<II")
_SUM: Final = struct.Struct("<I")

HEADER_SIZE: Final = _HEADER.size + _STATE.size + _SUM.size + (-(_HEADER.size + _STATE.size + _SUM.size)) % 8
FRAME_REAR: Final = _STATE.size + _REAR.size
"""Octets at a frame's end that hold its state."""

COLUMNS: Final = ("modseqs", "sizes", "dates", "gone_modseqs", "uids", "marks", "places", "gone_uids", "names")
"""In their order in the file."""
CODES: Final = {
    "modseqs": "Q",
    "sizes": "q",
    "dates": "d",
    "gone_modseqs": "Q",
    "uids": "I",
    "marks": "I",
    "places": "I",
    "gone_uids": "I",
    "names": "B",
}
_WIDTHS: Final = {"Q": 8, "q": 8, "d": 8, "I": 4, "B": 1}


def spans(header: Header) -> dict[str, tuple[int, int]]:
    """Where each column lies: offset in the file and octets."""
    counts = {
        "gone_modseqs": header.vanished,
        "gone_uids": header.vanished,
        "places": header.rows + 1,
        "names": header.heap,
    }
    result = {}
    offset = HEADER_SIZE
    for name in COLUMNS:
        size = counts.get(name, header.rows) * _WIDTHS[CODES[name]]
        result[name] = (offset, size)
        offset += size
    return result


def pack_header(header: Header) -> bytes:
    """The header as it stands in the file."""
    packed = _HEADER.pack(
        MAGIC,
        header.lineage,
        header.log_start,
        header.log_applied,
        header.rows,
        header.vanished,
        header.heap,
        header.uid_validity,
        header.first_unseen,
        header.floor,
        header.guid,
        *header.sums,
    )
    packed += _STATE.pack(*header.state)
    return (packed + _SUM.pack(zlib.crc32(packed))).ljust(HEADER_SIZE, b"\0")


def parse_header(data: bytes) -> Header:
    """Raises Damaged, also for another version."""
    size = _HEADER.size + _STATE.size
    if len(data) < HEADER_SIZE or data[:8] != MAGIC or _SUM.unpack_from(data, size)[0] != zlib.crc32(data[:size]):
        raise Damaged("no index of this version")
    _, lineage, start, applied, rows, vanished, heap, validity, unseen, floor, guid, *sums = _HEADER.unpack_from(data)
    state = State(*_STATE.unpack_from(data, _HEADER.size))
    if not start <= applied or state.messages != rows:
        raise Damaged("the header contradicts itself")
    return Header(
        lineage, start, applied, rows, vanished, heap, validity, unseen, floor, guid.rstrip(b"\0"), tuple(sums), state
    )


def pack_frame(records: Iterable[Record], state: State) -> bytes:
    """A frame for the log."""
    pieces = []
    for kind, uid, mark, modseq, size, date, name in records:
        pieces.append(_RECORD.pack(kind, len(name), uid, mark, 0, modseq, size, date))
        pieces.append(name)
    pieces.append(_STATE.pack(*state))
    length = sum(map(len, pieces)) + _REAR.size
    pieces.append(_REAR.pack(length, FRAME_MARK))
    payload = b"".join(pieces)
    return _FRONT.pack(length, zlib.crc32(payload)) + payload


def parse_frames(data: bytes) -> tuple[list[Frame], int]:
    """The complete frames at the beginning of `data`, and their octets.

    What follows is a frame that somebody is writing, or never finished.
    """
    frames = []
    position = 0
    while len(data) - position >= _FRONT.size + FRAME_REAR:
        length, check = _FRONT.unpack_from(data, position)
        start = position + _FRONT.size
        payload = data[start : start + length]
        if length < FRAME_REAR or len(payload) != length or zlib.crc32(payload) != check:
            break
        frames.append(Frame(tuple(_records(payload)), State(*_STATE.unpack_from(payload, length - FRAME_REAR))))
        position = start + length
    return frames, position


def _records(payload: bytes) -> Iterator[Record]:
    position, end = 0, len(payload) - FRAME_REAR
    size_of, unpack = _RECORD.size, _RECORD.unpack_from
    while position < end:
        kind, length, uid, mark, _, modseq, size, date = unpack(payload, position)
        position += size_of
        yield Record(kind, uid, mark, modseq, size, date, payload[position : position + length])
        position += length


def last_frames(data: bytes, most: int) -> bytes:
    """As many of the frames in `data`, which are whole, as fit in `most` octets, the newest."""
    position = 0
    while len(data) - position > most:
        position += _FRONT.size + _FRONT.unpack_from(data, position)[0]
    return data[position:]


def last_state(tail: bytes) -> State | None:
    """The state of the frame that ends with `tail`; None if it does not hold the whole frame, or there is none."""
    if len(tail) < _FRONT.size + FRAME_REAR:
        return None
    length, mark = _REAR.unpack_from(tail, len(tail) - _REAR.size)
    start = len(tail) - length
    if mark != FRAME_MARK or start < _FRONT.size or length < FRAME_REAR:
        return None
    if _FRONT.unpack_from(tail, start - _FRONT.size) != (length, zlib.crc32(tail[start:])):
        return None
    return State(*_STATE.unpack_from(tail, len(tail) - FRAME_REAR))
