"""Bodies of multi-line replies: byte-stuffing, and the beginning that TOP shows.  Both work on a stream of pieces.

Content comes with CRLF line ends and may be cut anywhere, between CR and LF too.
"""

from __future__ import annotations


class DotStuffer:
    """Doubles a dot at the beginning of a line (RFC 1939 section 3)."""

    def __init__(self) -> None:
        self._last = b"\r\n"
        """The last two octets that went through: a line begins behind CRLF."""

    def feed(self, piece: bytes) -> bytes:
        """The piece as it is to be sent."""
        if not piece:
            return b""
        context = self._last + piece
        # The two octets of context are never a dot behind CRLF themselves, so what is doubled lies in the piece.
        stuffed = context.replace(b"\r\n.", b"\r\n..")
        self._last = context[-2:]
        return stuffed[2:]

    def finish(self) -> bytes:
        """What ends the reply: a line end where the content has none, and the line with the dot."""
        return b".\r\n" if self._last == b"\r\n" else b"\r\n.\r\n"


class TopCutter:
    """Lets through the header, its empty line, and so many lines of the body (RFC 1939 section 7, TOP)."""

    def __init__(self, lines: int) -> None:
        self._left = lines
        self._in_body = False
        self._tail = b"\r\n"
        """In the header: up to three octets already let through, in which its end may have begun."""
        self.done = False
        """Nothing more will come through."""

    def feed(self, piece: bytes) -> bytes:
        """The part of the piece that is to be shown."""
        if self.done:
            return b""
        start = 0
        if not self._in_body:
            context = self._tail + piece
            end = context.find(b"\r\n\r\n")
            if end < 0:
                self._tail = context[-3:]
                return piece
            self._in_body = True
            start = end + 4 - len(self._tail)
        while self._left and (end := piece.find(b"\n", start)) >= 0:
            start = end + 1
            self._left -= 1
        if self._left:
            return piece
        self.done = True
        return piece[:start]
