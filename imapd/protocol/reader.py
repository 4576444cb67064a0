"""Bytes from the client become commands: lines, joined by literals (RFC 9051 sections 2.2.1 and 4.3, RFC 7888).

    reader.feed(data)
    while (event := reader.next_event()) is not None: ...

A command comes out whole, its small literals inside (`Command.data` holds `{5}\r\nhello` as it was sent).  Literals
that `streamed` claims (the messages of APPEND) come in pieces instead, nothing of them is kept.  Every literal is
announced first (`LiteralOffer`): the server answers with `accept` (and sends `+ ` where `offer.wait` says that the
client waits) or `refuse`.

Promises: what is kept is bounded by `line_limit` and `LITERAL_TOTAL`; any cut of the input into pieces gives the same
events; after a refused or overlong command reading goes on with the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

LITERAL_LIMIT: Final = 64 * 1024
"""Octets of a literal that is kept: mailbox names, passwords, search texts."""

LITERAL_TOTAL: Final = 256 * 1024
"""Octets of all kept literals of one command."""

COUNT_LIMIT: Final = 2**63 - 1
"""RFC 9051 number64."""

LITERAL_MINUS_LIMIT: Final = 4096
"""Octets of a literal that a client may send unasked under LITERAL- (RFC 7888 section 5)."""

_LITERAL_END = re.compile(rb"(~?)\{(\d{1,19})([+-]?)\}\Z")


@dataclass(frozen=True, slots=True)
class Command:
    """A command without its last line end, kept literals included.

    After a streamed literal `data` is what followed it; `begun` tells the two apart.
    """

    data: bytes
    begun: bool = True


@dataclass(frozen=True, slots=True)
class LiteralOffer:
    """The client has a literal of `size` octets; `command` is what came before, up to and with `{size}` and CRLF."""

    command: bytes
    size: int
    wait: bool
    """Whether the client waits for `+ ` (a synchronizing literal)."""
    streamed: bool
    binary: bool
    begun: bool


@dataclass(frozen=True, slots=True)
class LiteralPiece:
    """Octets of a streamed literal; `last` with the final piece (which may be empty)."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line or its literals passed the limits and were dropped; `start` is the beginning of the command."""

    start: bytes


Event: TypeAlias = "Command | LiteralOffer | LiteralPiece | TooLong"


def never_streamed(command: bytes) -> bool:
    """No literal is streamed: before login."""
    return False


class CommandReader:
    """See the module."""

    def __init__(
        self, line_limit: int, streamed: Callable[[bytes], bool] = never_streamed, unasked_limit: int = COUNT_LIMIT
    ) -> None:
        """`unasked_limit`: octets of the largest literal that may come without waiting for `+ `."""
        self._line_limit = line_limit
        self._unasked_limit = unasked_limit
        self._streamed = streamed
        self._buffer = b""
        self._parts: list[bytes] = []  # of the command under way
        self._kept = 0  # octets in _parts
        self._lines = 0  # octets of lines in _parts
        self._begun = True
        self._offer: LiteralOffer | None = None
        self._want = 0  # octets of the accepted literal that are missing
        self._mode = self._read_line
        self._skip = 0
        self.lines_only = False
        """Read plain lines, as in IDLE and AUTHENTICATE: no literals."""

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_event(self) -> Event | None:
        """The next event, None when more input (or an answer to an offer) is needed."""
        return self._mode()

    def take_rest(self) -> bytes:
        """Give up what has come and was not used: the session goes on elsewhere."""
        rest, self._buffer = self._buffer, b""
        return rest

    @property
    def mid_command(self) -> bool:
        """Whether a command has begun to arrive."""
        return bool(self._buffer or self._parts or self._offer)

    # --- the states
    def _read_line(self) -> Event | None:
        end = self._buffer.find(b"\n")
        limit = self._line_limit - self._lines
        if end < 0:
            if len(self._buffer) <= limit:
                return None
            return self._overflow(self._buffer[:64])
        if end > limit:
            return self._overflow(self._buffer[:64])
        line = self._buffer[: end - 1] if self._buffer[end - 1 : end] == b"\r" else self._buffer[:end]
        self._buffer = self._buffer[end + 1 :]
        found = None if self.lines_only else _LITERAL_END.search(line[-23:])
        if found is None:
            self._parts.append(line)
            return self._complete()
        self._parts += (line, b"\r\n")
        self._lines += len(line)
        self._kept += len(line) + 2
        command = b"".join(self._parts)
        self._offer = LiteralOffer(
            command=command,
            size=int(found[2]),
            wait=not found[3],
            streamed=self._streamed(command) if self._begun else True,
            binary=bool(found[1]),
            begun=self._begun,
        )
        self._mode = self._waiting
        return self._offer

    def _waiting(self) -> Event | None:
        return None

    def accept(self) -> None:
        """Take the literal that was offered."""
        assert self._offer is not None
        self._want = self._offer.size
        self._mode = self._read_streamed if self._offer.streamed else self._read_literal
        if self._offer.streamed:
            self._parts, self._kept, self._lines = [], 0, 0
            self._begun = False
        self._offer = None

    def refuse(self) -> None:
        """Do without the rest of the command: the client that waits will not send it, from others it is skipped."""
        assert self._offer is not None
        offer, self._offer = self._offer, None
        self._reset()
        if not offer.wait:
            self._skip = offer.size
            self._mode = self._skip_literal

    def refusal(self, offer: LiteralOffer) -> bool:
        """Whether a literal is beyond the limits: of those that are kept, or that may come unasked."""
        if not offer.wait and offer.size > self._unasked_limit:
            return True
        if offer.streamed:
            return offer.size > COUNT_LIMIT
        return offer.size > LITERAL_LIMIT or self._kept + offer.size > LITERAL_TOTAL

    def _read_literal(self) -> Event | None:
        if len(self._buffer) < self._want:
            return None
        self._parts.append(self._buffer[: self._want])
        self._kept += self._want
        self._buffer = self._buffer[self._want :]
        self._mode = self._read_line
        return self._read_line()

    def _read_streamed(self) -> Event | None:
        if not self._buffer and self._want:
            return None
        data = self._buffer[: self._want]
        self._buffer = self._buffer[len(data) :]
        self._want -= len(data)
        if not self._want:
            self._mode = self._read_line
        return LiteralPiece(data, last=not self._want)

    def _complete(self) -> Event:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        begun = self._begun
        self._reset()
        return Command(data, begun)

    def _reset(self) -> None:
        self._parts, self._kept, self._lines = [], 0, 0
        self._begun = True
        self._mode = self._read_line

    # --- what is dropped
    def _overflow(self, start: bytes) -> TooLong:
        first = self._parts[0][:64] if self._parts else start
        self._reset()
        self._mode = self._skip_line
        return TooLong(first)

    def _skip_line(self) -> Event | None:
        """Drop the rest of a line, with the literals that it announces to send unasked."""
        end = self._buffer.find(b"\n")
        if end < 0:
            self._buffer = self._buffer[-24:]
            return None
        line = self._buffer[:end].rstrip(b"\r")
        self._buffer = self._buffer[end + 1 :]
        found = None if self.lines_only else _LITERAL_END.search(line[-23:])
        if found is not None and found[3]:
            self._skip = int(found[2])
            self._mode = self._skip_literal
        else:
            self._mode = self._read_line
        return self._mode()

    def _skip_literal(self) -> Event | None:
        dropped = min(self._skip, len(self._buffer))
        self._buffer = self._buffer[dropped:]
        self._skip -= dropped
        if self._skip:
            return None
        self._mode = self._skip_line
        return self._skip_line()
