"""Cuts what a client sends into lines, within a limit.

A line ends in CRLF; a lone LF is taken too, as people type and old clients send it.  A line beyond the limit is
swallowed to its end and reported once, so that its tail is never read as a command.
"""

from __future__ import annotations

COMMAND_LIMIT = 1024
"""Octets of a command line without its end.  RFC 2449 section 4 says 255; UTF-8 names (RFC 6856) may want more."""


class OverlongLine:
    """Stands for a line that was longer than the limit."""


OVERLONG = OverlongLine()


class LineReader:
    """Bytes in, lines out.  Holds at most what was fed and not taken yet: the shell stops reading while it waits."""

    def __init__(self, limit: int = COMMAND_LIMIT) -> None:
        self.limit = limit
        """May be changed between lines: a SASL response is longer than a command."""
        self._buffer = b""
        self._searched = 0
        self._swallowing = False

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._buffer += data

    def next(self) -> bytes | OverlongLine | None:
        """The next line without its end, OVERLONG in place of one beyond the limit, or None until one is complete."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            if len(self._buffer) > self.limit + 1:
                self._swallowing = True
                self._buffer = b""
            self._searched = len(self._buffer)
            return None
        line, self._buffer, self._searched = self._buffer[:end], self._buffer[end + 1 :], 0
        if line.endswith(b"\r"):
            line = line[:-1]
        if self._swallowing or len(line) > self.limit:
            self._swallowing = False
            return OVERLONG
        return line

    def take_rest(self) -> bytes:
        """Give up everything that was not read as a line: for a hand-over, or to be thrown away before TLS."""
        rest, self._buffer, self._searched, self._swallowing = self._buffer, b"", 0, False
        return rest
