"""Server replies as the client reads them (RFC 5321 section 4.2, enhanced codes of RFC 2034 and RFC 3463).

Tolerant where real servers are: a lone LF ends a line, a code may stand alone, codes within one reply may differ (the
last counts).  Bounded: a line is cut at `LINE_LIMIT`, a reply that does not end is a `ReplyError`, and so is anything
that is no reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE_LIMIT = 2048
"""Bytes of a reply line that are kept; RFC 5321 section 4.5.3.1.5 allows 512, real servers exceed it."""

REPLY_LIMIT = 64 * 1024
"""Bytes of one reply, all lines together; the longest EHLO replies have some two thousand."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


class ReplyError(Exception):
    """The server sent something that is no reply; the text quotes it."""


@dataclass(frozen=True, slots=True)
class ServerReply:
    """One complete reply; `lines` are the texts behind the code."""

    code: int
    lines: tuple[str, ...]

    @property
    def kind(self) -> int:
        """2 done, 3 go on, 4 try later, 5 no (RFC 5321 section 4.2.1)."""
        return self.code // 100

    @property
    def enhanced(self) -> str:
        """The enhanced status code; X.0.0 where there is none or its class contradicts the code."""
        match = _ENHANCED.match(self.lines[-1])
        if match is not None and match[1][0] == str(self.code)[0]:
            return match[1]
        return f"{self.code // 100}.0.0"

    def __str__(self) -> str:
        """The reply on one line, each part with its code, as logs and DSNs quote it."""
        if len(self.lines) == 1:
            return f"{self.code} {self.lines[0]}".rstrip()
        parts = [f"{self.code}-{line}" for line in self.lines[:-1]]
        parts.append(f"{self.code} {self.lines[-1]}")
        return " ".join(parts)


class ReplyParser:
    """Bytes in, replies out."""

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[str] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether part of a reply has come."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> list[ServerReply]:
        """The replies that `data` completes.  Raises ReplyError; nothing can be read after that."""
        replies: list[ServerReply] = []
        if self._buffer:
            data = self._buffer + data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            reply = self._line(data[start:end])
            if reply is not None:
                replies.append(reply)
            start = end + 1
        self._buffer = data[start:]
        if self._size + len(self._buffer) > REPLY_LIMIT:
            raise ReplyError(f"a reply of more than {REPLY_LIMIT} bytes")
        return replies

    def _line(self, line: bytes) -> ServerReply | None:
        self._size += len(line)
        if self._size > REPLY_LIMIT:
            raise ReplyError(f"a reply of more than {REPLY_LIMIT} bytes")
        match = _LINE.fullmatch(line.rstrip(b"\r"))
        if match is None:
            raise ReplyError(f'"{line[:80].decode("utf-8", "replace").rstrip()}"')
        text = (match[3] or b"")[:LINE_LIMIT].decode("utf-8", "surrogateescape")
        self._lines.append(text)
        if match[2] == b"-":
            return None
        reply = ServerReply(int(match[1]), tuple(self._lines))
        self._lines = []
        self._size = 0
        return reply
