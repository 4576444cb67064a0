"""Message content on its way to the wire: LF to CRLF, dots doubled, over-long lines folded (RFC 5321 section 4.5.2).

Works on large chunks with the interpreter's C loops, whatever the chunk borders cut through.  What leaves never holds
a bare CR or LF (RFC 5321 section 2.3.8), so nothing in a message can look like its end to any server: a CR
before an LF vanishes, any other becomes a space.
"""

from __future__ import annotations

LINE_LENGTH_LIMIT = 998
"""Octets of a line without its CRLF (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.1.1)."""

FOLD = b"\n "
"""What is put into a line that is too long: in a header it is folding, in text it does the least harm."""


class ContentEncoder:
    """One message.  `line_limit` 0 leaves lines as they are; otherwise it is 16 or more."""

    def __init__(self, line_limit: int = LINE_LENGTH_LIMIT) -> None:
        self._limit = line_limit
        self._carriage_return = False  # the last chunk ended in CR
        self._column = 0  # octets of the unfinished line

    def encode(self, chunk: bytes) -> bytes:
        """The octets to send for a piece of content."""
        if self._carriage_return:
            chunk = b"\r" + chunk
            self._carriage_return = False
        if b"\r" in chunk:
            if chunk.endswith(b"\r"):
                self._carriage_return = True
                chunk = chunk[:-1]
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        if not chunk:
            return b""
        at_line_start = self._column == 0
        if self._limit:
            chunk = self._folded(chunk)
        else:
            self._column = 0 if chunk.endswith(b"\n") else 1
        encoded = chunk.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
        if at_line_start and encoded[0] == 0x2E:
            encoded = b"." + encoded
        return encoded

    def finish(self) -> bytes:
        """What ends the content: the end of an unfinished line, and the dot."""
        end = b".\r\n"
        if self._carriage_return:
            end = b" \r\n.\r\n"
        elif self._column:
            end = b"\r\n.\r\n"
        self._carriage_return = False
        self._column = 0
        return end

    def _folded(self, chunk: bytes) -> bytes:
        limit = self._limit
        first = chunk.find(b"\n")
        if first < 0:
            first = len(chunk)
        if self._column + first <= limit and (
            len(chunk) - first <= limit or max(map(len, chunk.split(b"\n"))) <= limit
        ):
            last = chunk.rfind(b"\n")
            self._column = len(chunk) - last - 1 if last >= 0 else self._column + len(chunk)
            return chunk
        lines = chunk.split(b"\n")
        for number, line in enumerate(lines):
            column = self._column if number == 0 else 0
            if column + len(line) > limit:
                lines[number], column = _fold(line, column, limit)
            else:
                column += len(line)
        self._column = column
        return b"\n".join(lines)


def _fold(line: bytes, column: int, limit: int) -> tuple[bytes, int]:
    """The line in pieces, and the length of the last one; `column` octets of it have been sent already."""
    pieces = []
    start = 0
    room = limit - column
    while len(line) - start > room:
        end = start + room
        while end > start and line[end] & 0xC0 == 0x80 and start + room - end < 3:
            end -= 1  # not inside a UTF-8 character
        pieces.append(line[start:end])
        start = end
        room = limit - 1
    pieces.append(line[start:])
    return FOLD.join(pieces), len(line) - start + 1


def binary_head(header: bytes) -> bytes:
    """The header of a message whose body is sent as it is (BDAT), with the empty line behind it."""
    return header.replace(b"\r", b" ").replace(b"\n", b"\r\n") + b"\r\n"
