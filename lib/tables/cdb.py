"""The constant database format: one file, written once, two reads per look-up whatever its size.

The format is D. J. Bernstein's cdb (https://cr.yp.to/cdb/cdb.txt), as `postmap cdb:` of Postfix reads and writes it
(without NUL behind keys and values).  A file begins with 256 pairs (position, slots) of hash tables, then records (key
length, data length, key, data), then the hash tables, whose slots are (hash, record position); all numbers are 32
bits, little endian.

The reader uses pread rather than a memory map: it costs the same, and a file cut short under a map would kill the
process, while a short read is an error like any other.  Every position is checked: a corrupt file gives `CorruptTable`,
never a wrong value from outside the record or an endless loop.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

HEADER_SIZE = 2048
SIZE_LIMIT = 0xFFFFFFFF
"""Largest file that 32-bit positions can address."""

_PAIR = struct.Struct("<II")
_HEADER = struct.Struct("<512I")

SLOTS_PER_READ = 8
"""Hash slots read at once; tables are half empty, so most look-ups end within them."""

RECORD_GUESS = 256
"""Bytes read at a record's position: covers most records, so that one read is enough."""


class CorruptTable(ValueError):
    """The file is not a whole, well-formed cdb; the text says where it breaks."""


def cdb_hash(key: bytes) -> int:
    """The hash function of the format."""
    value = 5381
    for byte in key:
        value = ((value << 5) + value) & 0xFFFFFFFF ^ byte
    return value


class CdbReader:
    """Look-ups in an open cdb file.  Owns the descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Read the header.  Raises CorruptTable or OSError; the descriptor is closed then too."""
        self._fd = descriptor
        self._size = os.fstat(descriptor).st_size
        header = os.pread(descriptor, HEADER_SIZE, 0)
        if len(header) != HEADER_SIZE or self._size > SIZE_LIMIT:
            raise CorruptTable("not a cdb file: too short or too long")
        self._header = _HEADER.unpack(header)
        start = end = 0
        for position, slots in _PAIR.iter_unpack(header):
            if not slots:
                continue
            if position < HEADER_SIZE or position + slots * 8 > self._size:
                raise CorruptTable("a hash table lies outside the file")
            start = min(start, position) if start else position
            end = max(end, position + slots * 8)
        if self._size != (end or HEADER_SIZE):
            raise CorruptTable(f"the file has {self._size} bytes where its hash tables end at {end}")
        self._records_end = start or HEADER_SIZE

    def get(self, key: bytes) -> bytes | None:
        """The data of the first record with `key`.  Raises CorruptTable, OSError."""
        wanted = cdb_hash(key)
        index = (wanted & 255) * 2
        start, slots = self._header[index], self._header[index + 1]
        if not slots:
            return None
        slot = (wanted >> 8) % slots
        looked = 0
        while looked < slots:
            count = min(SLOTS_PER_READ, slots - slot, slots - looked)
            block = os.pread(self._fd, count * 8, start + slot * 8)
            if len(block) != count * 8:
                raise CorruptTable("the file was cut short")
            for found, position in _PAIR.iter_unpack(block):
                if not position:
                    return None
                if found == wanted:
                    data = self._record(position, key)
                    if data is not None:
                        return data
            looked += count
            slot = (slot + count) % slots
        return None

    def _record(self, position: int, key: bytes) -> bytes | None:
        block = os.pread(self._fd, RECORD_GUESS, position)
        if len(block) < 8:
            raise CorruptTable(f"no record at byte {position}")
        key_length, data_length = _PAIR.unpack_from(block)
        if key_length != len(key):
            return None
        end = 8 + key_length + data_length
        if position + end > self._size:
            raise CorruptTable(f"the record at byte {position} does not end within the file")
        if end > len(block):
            block = os.pread(self._fd, end, position)
            if len(block) != end:
                raise CorruptTable("the file was cut short")
        if block[8 : 8 + key_length] != key:
            return None
        return block[8 + key_length : end]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every record in the order written.  Raises CorruptTable, OSError."""
        end, position = self._records_end, HEADER_SIZE
        while position < end:
            head = os.pread(self._fd, 8, position)
            if len(head) != 8:
                raise CorruptTable("the file was cut short")
            key_length, data_length = _PAIR.unpack(head)
            if position + 8 + key_length + data_length > end:
                raise CorruptTable(f"the record at byte {position} does not end before the hash tables")
            record = os.pread(self._fd, key_length + data_length, position + 8)
            if len(record) != key_length + data_length:
                raise CorruptTable("the file was cut short")
            yield record[:key_length], record[key_length:]
            position += 8 + key_length + data_length

    def close(self) -> None:
        """Close the file; also done when the reader is no longer used."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


def write_cdb(stream: BinaryIO, entries: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a whole cdb to a new, empty, seekable file; keys must not repeat.

    Raises ValueError where it would grow beyond 4 GB, OSError.
    """
    write: Callable[[bytes], int] = stream.write
    write(bytes(HEADER_SIZE))
    position = HEADER_SIZE
    hashes = [array("I") for _ in range(256)]
    for key, data in entries:
        write(_PAIR.pack(len(key), len(data)) + key + data)
        value = cdb_hash(key)
        hashes[value & 255].extend((value, position))
        position += 8 + len(key) + len(data)
        if position > SIZE_LIMIT:
            raise ValueError("the table is larger than the 4 GB that its format can hold")
    header: list[int] = []
    for pairs in hashes:
        slots = len(pairs)  # twice the records: half of the slots stay empty, so that misses end soon
        header += (position, slots)
        table = array("I", bytes(slots * 8))
        for start in range(0, len(pairs), 2):
            value, record = pairs[start], pairs[start + 1]
            slot = (value >> 8) % slots
            while table[slot * 2 + 1]:
                slot = (slot + 1) % slots
            table[slot * 2], table[slot * 2 + 1] = value, record
        if _BIG_ENDIAN:
            table.byteswap()
        write(table.tobytes())
        position += slots * 8
        if position > SIZE_LIMIT:
            raise ValueError("the table is larger than the 4 GB that its format can hold")
    stream.seek(0)
    write(_HEADER.pack(*header))


_BIG_ENDIAN = array("I", [1]).tobytes()[:1] == b"\0"
