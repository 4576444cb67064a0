"""One HTTP/1.1 response, read strictly and without I/O (RFC 9112).

    reader = ResponseReader()
    reader.feed(data) ... reader.end()      # what came; the end of the stream
    if reader.done: reader.status, reader.body

Limits: the header, the body.  Whatever breaks the grammar raises `BadResponse`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 64 * 1024
"""Octets; an answer about a token has some hundreds, a policy too, and RFC 8461 section 3.3 proposes this for it."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# Blanks around a value are taken off by hand: an expression that does it may take years for a line of blanks.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")


class BadResponse(Exception):
    """Not HTTP, or more of it than anybody would send."""


class ResponseReader:
    """One response, however it arrives."""

    def __init__(self, limit: int = BODY_LIMIT) -> None:
        """`limit`: octets of the body."""
        self._limit = limit
        self.status = 0
        self.fields: dict[str, str] = {}
        """By lower-case name; of a field that comes twice, the values joined by a comma (RFC 9110 section 5.2)."""
        self.body = b""
        self.done = False
        self._buffer = b""
        self._read: Callable[[], bool] = self._read_head
        self._left = 0
        self._trailer = 0

    def feed(self, data: bytes) -> None:
        """Take what came; bytes behind the response are ignored: the connection ends with it.  Raises BadResponse."""
        if self.done:
            return
        self._buffer += data
        while not self.done and self._read():
            pass

    def end(self) -> None:
        """The stream has ended.  Raises BadResponse where the response had not."""
        if self.done:
            return
        if self._read != self._read_rest:
            raise BadResponse("the connection ended in the middle of the answer")
        self.done = True

    # --- what comes next; True where something was taken
    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_LIMIT or (end < 0 and len(self._buffer) > HEAD_LIMIT):
            raise BadResponse("the header is too long")
        if end < 0:
            return False
        lines = self._buffer[:end].split(b"\r\n")
        self._buffer = self._buffer[end + 4 :]
        match = _STATUS_LINE.fullmatch(lines[0])
        if match is None:
            raise BadResponse("no HTTP status line")
        self.fields = {}
        for line in lines[1:]:
            octets, colon, rest = line.partition(b":")
            if not colon or not _NAME.fullmatch(octets) or not _VALUE.fullmatch(rest):
                raise BadResponse("a malformed header field")
            name, value = octets.decode("ascii").lower(), rest.strip(b" \t").decode("latin-1")
            self.fields[name] = f"{self.fields[name]}, {value}" if name in self.fields else value
        if match[1].startswith(b"1"):  # an interim response; the real one follows
            return True
        self.status = int(match[1])
        self._read = self._framing()
        return True

    def _framing(self) -> Callable[[], bool]:
        """How the end of the body is found (RFC 9112 section 6.3)."""
        coding, length = self.fields.get("transfer-encoding"), self.fields.get("content-length")
        if self.fields.get("content-encoding", "identity").lower() != "identity":
            raise BadResponse("a content coding that was not asked for")
        if self.status in (204, 304):
            length, coding = "0", None
        if coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise BadResponse("an ambiguous or unknown transfer coding")
            return self._read_chunk_size
        if length is None:
            return self._read_rest
        if not (length.isascii() and length.isdigit()) or len(length) > 8:
            raise BadResponse("a malformed Content-Length")
        self._left = int(length)
        self._check(self._left)
        self.done = not self._left
        return self._read_sized

    def _check(self, more: int) -> None:
        if len(self.body) + more > self._limit:
            raise BadResponse("the answer is too long")

    def _read_rest(self) -> bool:
        self._check(len(self._buffer))
        self.body += self._buffer
        self._buffer = b""
        return False

    def _take(self) -> bool:
        piece = self._buffer[: self._left]
        self.body += piece
        self._buffer = self._buffer[len(piece) :]
        self._left -= len(piece)
        return bool(piece)

    def _read_sized(self) -> bool:
        taken = self._take()
        self.done = not self._left
        return taken

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end > HEAD_LIMIT or (end < 0 and len(self._buffer) > HEAD_LIMIT):
            raise BadResponse("a line is too long")
        if end < 0:
            return None
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise BadResponse("a malformed chunk")
        self._left = int(match[1], 16)
        self._check(self._left)
        self._read = self._read_chunk if self._left else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        taken = self._take()
        if not self._left:
            self._read = self._read_chunk_end
            return True
        return taken

    def _read_chunk_end(self) -> bool:
        line = self._line()
        if line:
            raise BadResponse("a malformed chunk")
        if line is None and len(self._buffer) > 2:
            raise BadResponse("a malformed chunk")
        self._read = self._read_chunk_size if line is not None else self._read_chunk_end
        return line is not None

    def _read_trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._trailer += len(line)
        if self._trailer > HEAD_LIMIT:
            raise BadResponse("the trailer is too long")
        self.done = not line
        return True
