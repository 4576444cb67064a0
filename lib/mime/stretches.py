"""Reading a message along with its part tree: the octets up to an offset, header fields replaced, CRLF made LF.

Everything works on pieces of any size and keeps no more than a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LONGEST_NAME = 256
"""Octets of an unfinished line that decide whether it begins a field that is looked for."""

_ENCODING = re.compile(rb"content-transfer-encoding[ \t]*:", re.IGNORECASE)
_FIELD = re.compile(rb"[ \t]|[!-9;-~]+[ \t]*:")
"""A line that begins a field or goes on with one; a very long piece of a line is taken by its beginning."""
_VERSION = re.compile(rb"mime-version[ \t]*:", re.IGNORECASE)


class WireReader:
    """Gives out a message in order; offsets count each line end as two octets, as those of `Part` do."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._offset = 0
        self._after_return = False

    def until(self, end: int) -> Iterator[bytes]:
        """The octets up to `end`, which is not between CR and LF."""
        while self._offset < end:
            if not self._piece:
                self._piece = next(self._pieces, b"")
                if not self._piece:
                    return
            size = self._size(len(self._piece))
            cut = len(self._piece) if self._offset + size <= end else self._cut(end - self._offset)
            taken, rest = self._piece[:cut], self._piece[cut:]
            self._offset += self._size(cut)
            self._after_return = taken.endswith(b"\r")
            self._piece = rest
            yield taken

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        if self._piece:
            yield self._piece
        yield from self._pieces

    def _size(self, cut: int) -> int:
        """Octets on the wire of the first `cut` octets of the piece."""
        piece = self._piece
        bare = piece.count(b"\n", 0, cut) - piece.count(b"\r\n", 0, cut)
        if self._after_return and cut and piece.startswith(b"\n"):
            bare -= 1
        return cut + bare

    def _cut(self, size: int) -> int:
        """How many octets of the piece make `size` on the wire."""
        low, high = 0, min(size, len(self._piece))
        while low < high:
            middle = (low + high + 1) // 2
            if self._size(middle) <= size:
                low = middle
            else:
                high = middle - 1
        return low


def line_feeds(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """CRLF as LF; a lone CR stays."""
    held = b""
    for piece in pieces:
        data = held + piece
        held = b"\r" if data.endswith(b"\r") else b""
        if held:
            data = data[:-1]
        if data:
            yield data.replace(b"\r\n", b"\n")
    if held:
        yield held


def header_lines(pieces: Iterable[bytes], encoding: bytes, *, with_version: bool) -> Iterator[bytes]:
    """A header with `encoding` as its only Content-Transfer-Encoding, and MIME-Version where `with_version` wants it.

    The field stands where it stood, or at the end of the header: before the first line that is no field, because for
    many readers the body begins there.
    """
    field = b"Content-Transfer-Encoding: " + encoding + b"\n"
    written = versioned = dropping = False
    for line, begins in _lines(pieces):
        if begins and not _FIELD.match(line):
            dropping = False
            if not written:
                written = True
                yield field
            if with_version and not versioned:
                versioned = True
                yield b"MIME-Version: 1.0\n"
        elif begins and not line.startswith((b" ", b"\t")):
            dropping = _ENCODING.match(line) is not None
            versioned = versioned or _VERSION.match(line) is not None
            if dropping and not written:
                written = True
                yield field
        if not dropping:
            yield line


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines with their ends, very long ones in pieces; whether a piece begins a line."""
    rest = b""
    begins = True
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n", begins
            begins = True
        if len(rest) > _LONGEST_NAME:
            yield rest, begins
            begins, rest = False, b""
    if rest:
        yield rest, begins
