"""Content of a message with BODY=BINARYMIME (RFC 3030 section 3), which only BDAT can carry.

The header block, to its first empty line, is text: its line ends come out as LF.  The body is the octets exactly as
they were sent; a lone CR or LF, even a NUL, is content like any other, since counted octets leave no doubt where the
message ends.

Promises: whatever the pieces, the same content comes out; what is held back between two pieces is at most one byte.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.lib.smtp.content import WATCHED, BareNewline

_HEADER_END: Final = re.compile(rb"\n\r?\n")
_EMPTY_LINE: Final = re.compile(rb"\r?\n")


class BinaryDecoder:
    """The content of one transaction's BDAT chunks; has the interface of `content.ChunkDecoder`."""

    __slots__ = ("_at_line_start", "_held", "_in_body", "_watch", "bare_newline")

    def __init__(self, bare_newline: BareNewline = "normalize") -> None:
        self._held = False  # the last octet of the header block so far was a CR
        self._at_line_start = True
        self._in_body = False
        self._watch = bare_newline in WATCHED
        self.bare_newline = False
        """Whether the header block had a lone LF, where the administrator wants to know."""

    def feed(self, data: bytes) -> bytes:
        """Content decoded from the next octets."""
        if self._in_body or not data:
            return data
        if self._held:
            data = b"\r" + data
            self._held = False
        end = self._header_end(data)
        if end >= 0:
            self._in_body = True
            return self._text(data[:end]) + data[end:]
        if data[-1:] == b"\r":
            self._held = True
            data = data[:-1]
        if data:
            self._at_line_start = data[-1] == 10
        return self._text(data)

    def _header_end(self, data: bytes) -> int:
        """Where the body begins in `data`; -1 where it does not."""
        if self._at_line_start and (match := _EMPTY_LINE.match(data)):
            return match.end()
        match = _HEADER_END.search(data)
        return match.end() if match else -1

    def _text(self, data: bytes) -> bytes:
        if self._watch and data.count(b"\n") != data.count(b"\r\n"):
            self.bare_newline = True
        return data.replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """After the last chunk: the line end that a header block without body must have; a body ends as it ends."""
        if self._in_body:
            return b""
        tail = b"\r\n" if self._held else b"" if self._at_line_start else b"\n"
        self._held = False
        return tail
