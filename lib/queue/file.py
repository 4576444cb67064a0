"""The format of a queue file: one message, content and envelope together.

    PBQ1 offset=0000000326 length=0000000000004096 recipients=0000002     fixed width, 80 bytes with its line feed
    {"sender":"alice@example.org","arrival":1795319643.935049, ...}        the envelope, one JSON object
    T{"address":"bob@example.net"}                                         a recipient still to do
    D{"address":"carol@example.net"}                                       a recipient that is done
    <content: `length` bytes from `offset`; lines end in LF>
    <zeros up to the end of the file, where it was longer before>

A recipient is known by the position of its record in the file, and marked done by overwriting that one byte.
The first line is written last, so that its presence means that the rest has been written; the file gets its final
name only after it has been synced.  A file under its final name that does not parse is corrupt, never half-written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.ipc.frames import _encode, decode_payload
from pillarbox.lib.queue.envelope import Envelope, Recipient

HEADER_SIZE = 80
MAGIC = b"PBQ1 "
"""How a queue file begins."""

_HEADER = re.compile(rb"PBQ1 offset=(\d{10}) length=(\d{16}) recipients=(\d{7}) *\n")
TODO, DONE = b"T", b"D"

READ_AHEAD = 4096
"""Bytes read in the first go: the envelope of nearly every message."""

TYPICAL_RECORD = 64
"""Bytes of a recipient's record."""

RECORD_LIMIT = 64 * 1024
"""Longest record; addresses have their own, much smaller limits."""


class CorruptQueueFile(Exception):
    """A file that no program of this suite has written like that; it is set aside, not deleted."""


@dataclass(frozen=True, slots=True)
class StoredRecipient:
    """A recipient in a queue file; `n` is the position of its record."""

    n: int
    recipient: Recipient
    done: bool = False


def compose_header(envelope: Envelope) -> tuple[bytes, int]:
    """The part of the file before the content, for content of unknown length: (bytes, offset of the content).

    The first line is blank; `first_line` fills it when the length is known.  Raises ValueError where a record would be
    longer than a reader accepts.
    """
    records = [_record(envelope.members())]
    for recipient in envelope.recipients:
        records += (TODO, _record(recipient.members()))
    body = b"".join(records)
    return b" " * (HEADER_SIZE - 1) + b"\n" + body, HEADER_SIZE + len(body)


def _record(members: Mapping[str, object]) -> bytes:
    record = _encode(members).encode("ascii") + b"\n"
    if len(record) >= RECORD_LIMIT:
        raise ValueError(f"a record of {len(record)} bytes is longer than {RECORD_LIMIT}")
    return record


def first_line(offset: int, length: int, recipients: int) -> bytes:
    """The first line, 80 bytes."""
    return (b"PBQ1 offset=%010d length=%016d recipients=%07d" % (offset, length, recipients)).ljust(79) + b"\n"


def mark_done(descriptor: int, n: int) -> None:
    """Mark the recipient at position `n` done: one byte, which either is written or is not."""
    os.pwrite(descriptor, DONE, n)


class QueueFile:
    """An open queue file.  Raises CorruptQueueFile where its first line or its envelope cannot be right."""

    __slots__ = ("_ahead", "_first_record", "descriptor", "envelope", "length", "offset", "recipient_count")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._ahead = os.pread(descriptor, READ_AHEAD, 0)
        match = _HEADER.match(self._ahead)
        if match is None:
            raise CorruptQueueFile("the first line is not that of a queue file")
        self.offset, self.length, self.recipient_count = int(match[1]), int(match[2]), int(match[3])
        if self.offset <= HEADER_SIZE:
            raise CorruptQueueFile("there is no place for an envelope")
        size = os.fstat(descriptor).st_size
        if size < self.offset + self.length:
            raise CorruptQueueFile(f"the file has {size} bytes, not {self.offset + self.length}")
        line, self._first_record = self._line(HEADER_SIZE)
        try:
            self.envelope = Envelope.parse(decode_payload(line), ())
        except ProtocolError as error:
            raise CorruptQueueFile(f"envelope: {error}") from None

    def _line(self, position: int) -> tuple[bytes, int]:
        """The line at `position` without its line feed, and the position of the next."""
        end = self._ahead.find(b"\n", position, self.offset)
        if end >= 0:
            return self._ahead[position:end], end + 1
        piece = self._piece(position)
        end = piece.find(b"\n")
        if end < 0:
            raise CorruptQueueFile(f"a record at {position} has no end")
        return piece[:end], position + end + 1

    def _piece(self, position: int, size: int = RECORD_LIMIT) -> bytes:
        return os.pread(self.descriptor, min(size, self.offset - position), position)

    def recipients(self, start: int = 0, wanted: int = 1000) -> Iterator[StoredRecipient]:
        """The recipients from the record at `start` (0 = the first) on, one by one: a list may be longer than memory.

        The file is read in pieces, each once, so large that they commonly hold the `wanted` recipients.  Raises
        CorruptQueueFile at a record that cannot be read.
        """
        size = min(RECORD_LIMIT, max(READ_AHEAD, wanted * TYPICAL_RECORD))
        position = start or self._first_record
        piece, base = self._ahead, 0
        while position < self.offset:
            end = piece.find(b"\n", position - base, self.offset - base)
            if end < 0:
                piece, base = self._piece(position, size), position
                end = piece.find(b"\n")
                if end < 0:  # a record longer than the piece
                    piece = self._piece(position)
                    end = piece.find(b"\n")
                if end < 0:
                    raise CorruptQueueFile(f"a record at {position} has no end")
            mark, line = piece[position - base : position - base + 1], piece[position - base + 1 : end]
            if mark not in (TODO, DONE):
                raise CorruptQueueFile(f"a recipient was expected at {position}")
            try:
                recipient = Recipient.parse(decode_payload(line))
            except ProtocolError as error:
                raise CorruptQueueFile(f"recipient at {position}: {error}") from None
            yield StoredRecipient(position, recipient, mark == DONE)
            position = base + end + 1

    def forget_ahead(self) -> None:
        """Give back the memory of what was read in the first go; it is read again where it is needed."""
        self._ahead = b""

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


def attributes_of(envelope: Envelope) -> Attributes:
    """The envelope as attributes of a frame."""
    return Attributes(envelope.members())
