"""Packets: their names, writing them, and cutting a stream of bytes into them.

Promises of `PacketReader`: the same packets however the bytes are cut; never more than one packet of `PACKET_LIMIT` is
kept; a length that cannot be is noticed as soon as its four bytes are there.
"""

from __future__ import annotations

import struct
from typing import Final


class MilterError(Exception):
    """The milter does not keep to the protocol, or is gone; the text says what was wrong."""


# --- what the MTA sends (mfdef.h, SMFIC_*)
ABORT: Final = b"A"
BODY: Final = b"B"
CONNECT: Final = b"C"
MACRO: Final = b"D"
END: Final = b"E"
HELO: Final = b"H"
QUIT_NEW: Final = b"K"
HEADER: Final = b"L"
MAIL: Final = b"M"
END_OF_HEADER: Final = b"N"
NEGOTIATE: Final = b"O"
QUIT: Final = b"Q"
RCPT: Final = b"R"
DATA: Final = b"T"
UNKNOWN: Final = b"U"

NAMES: Final = {
    CONNECT: "SMFIC_CONNECT",
    HELO: "SMFIC_HELO",
    MAIL: "SMFIC_MAIL",
    RCPT: "SMFIC_RCPT",
    DATA: "SMFIC_DATA",
    UNKNOWN: "SMFIC_UNKNOWN",
    HEADER: "SMFIC_HEADER",
    END_OF_HEADER: "SMFIC_EOH",
    BODY: "SMFIC_BODY",
    END: "SMFIC_BODYEOB",
    NEGOTIATE: "SMFIC_OPTNEG",
}
"""Commands that may be answered, by the names that logs have for them."""

# --- what the milter answers (SMFIR_*)
ADD_RECIPIENT: Final = b"+"
DELETE_RECIPIENT: Final = b"-"
ADD_RECIPIENT_WITH: Final = b"2"
SHUTDOWN: Final = b"4"
ACCEPT: Final = b"a"
REPLACE_BODY: Final = b"b"
CONTINUE: Final = b"c"
DISCARD: Final = b"d"
CHANGE_SENDER: Final = b"e"
CONNECTION_FAILURE: Final = b"f"
ADD_HEADER: Final = b"h"
INSERT_HEADER: Final = b"i"
CHANGE_HEADER: Final = b"m"
PROGRESS: Final = b"p"
QUARANTINE: Final = b"q"
REJECT: Final = b"r"
SKIP: Final = b"s"
TEMPORARY_FAILURE: Final = b"t"
REPLY_CODE: Final = b"y"

PACKET_LIMIT: Final = 1024 * 1024
"""Bytes of one packet from a milter.  libmilter cuts bodies into pieces of 64 KiB, or 1 MiB where that was agreed
(which we do not offer); no header field or reply comes near it."""

BODY_CHUNK: Final = 65535
"""Bytes of body in one packet to a milter (MILTER_CHUNK_SIZE)."""

_LENGTH: Final = struct.Struct(">I")


def encode(command: bytes, data: bytes = b"") -> bytes:
    """One packet."""
    return _LENGTH.pack(1 + len(data)) + command + data


def texts(*values: bytes) -> bytes:
    """Values as the protocol writes them, each with a NUL behind; a NUL inside a value would end it, so it goes."""
    return b"".join(value.replace(b"\0", b"") + b"\0" for value in values)


def split_texts(data: bytes) -> list[bytes]:
    """The NUL-ended values that `data` consists of.  Raises MilterError where the last one has no end."""
    if not data:
        return []
    if data[-1]:
        raise MilterError("a text in a packet has no end")
    return data[:-1].split(b"\0")


class PacketReader:
    """Bytes in, packets out."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._buffer += data

    @property
    def pending(self) -> int:
        """Bytes that are no complete packet yet, or packets that nobody has taken."""
        return len(self._buffer)

    def packet(self) -> tuple[bytes, bytes] | None:
        """The next packet as (name, data), None until all of it has been fed.  Raises MilterError."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 0 < length <= PACKET_LIMIT:
            raise MilterError(f"a packet of {length} bytes")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        command, data = bytes(self._buffer[4:5]), bytes(self._buffer[5:end])
        del self._buffer[:end]
        return command, data
