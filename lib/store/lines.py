"""Line ends: stores hold LF, the wire has CRLF.

Promises: conversions work on pieces cut anywhere, cost one pass in C, and leave a CR that is not before an LF alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

CHUNK: Final = 131072
"""Bytes per read or write: large enough that the system call vanishes, small enough for many sessions at once."""


def wire_size(data: bytes) -> int:
    """Octets of `data` once every lone LF has become CRLF (for a whole text; a piece must not start inside a CRLF)."""
    lines = data.count(b"\n")
    if b"\r" in data:  # one octet is looked for many times as quickly as two
        lines -= data.count(b"\r\n")
    return len(data) + lines


def to_crlf(data: bytes) -> bytes:
    """A whole text with CRLF line ends."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    return data.replace(b"\n", b"\r\n")


def plain_header(beginning: bytes) -> bytes | None:
    """The header of a message, with CRLF, out of its beginning as it is stored; None where one must look closer.

    Nearly every file has LF alone in its header, and its header in its first few kB.
    """
    end = beginning.find(b"\n\n")
    if end <= 0 or b"\r" in (head := beginning[: end + 2]):
        return None
    return b"\r\n" if head[0] == 10 else head.replace(b"\n", b"\r\n")


def whole_lines(text: bytes, limit: int) -> bytes:
    """The lines of a text, with CRLF, that end within its first `limit` octets."""
    end = text.rfind(b"\r\n", 0, limit)
    return text[: end + 2] if end >= 0 else b""


class ToLF:
    """Turns CRLF into LF in a stream of pieces."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = False

    def feed(self, data: bytes) -> bytes:
        """The next piece; a CR at its end waits for what follows."""
        if self._held:
            data = b"\r" + data
            self._held = False
        if data.endswith(b"\r"):
            self._held = True
            data = data[:-1]
        return data.replace(b"\r\n", b"\n") if b"\r" in data else data

    def finish(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, False
        return b"\r" if held else b""


def to_lf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a text with every CRLF turned into LF."""
    convert = ToLF()
    for piece in pieces:
        yield convert.feed(piece)
    yield convert.finish()


class ToCRLF:
    """Turns lone LF into CRLF in a stream of pieces."""

    __slots__ = ("_after_cr",)

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, data: bytes) -> bytes:
        """The next piece."""
        if not data:
            return b""
        first_is_paired = self._after_cr and data[0] == 10
        self._after_cr = data[-1] == 13
        data = to_crlf(data)
        return data[1:] if first_is_paired else data


class WireCounter:
    """Counts octets of a stored stream and of its wire form."""

    __slots__ = ("_after_cr", "stored", "wire")

    def __init__(self) -> None:
        self.stored = 0
        self.wire = 0
        self._after_cr = False

    def feed(self, data: bytes) -> None:
        """Count the next piece."""
        if not data:
            return
        self.stored += len(data)
        self.wire += wire_size(data)
        if self._after_cr and data[0] == 10:
            self.wire -= 1
        self._after_cr = data[-1] == 13
