"""Bytes from the client become lines of tokens: atoms, quoted strings and literals (RFC 5804 sections 1.2 and 4).

    reader.feed(data)
    while (event := reader.next_event()) is not None: ...

A line comes out whole, its literals inside.  A client's literals are announced as `{n+}` and follow at once, so nothing
can be refused before it was sent: one beyond `literal_limit` is thrown away as it comes, and an `Oversize` stands in
its place.  Of a line that is none, the rest with its literals is thrown away likewise, and a `BadLine` says what was
wrong.

Promises: what is kept is bounded by `LINE_LIMIT` and `literal_limit`; any cut of the input into pieces gives the same
events; after a bad line reading goes on with the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

LINE_LIMIT: Final = 16 * 1024
"""Octets of a line between its literals: quoted strings of 1024 octets (section 4), and an initial response of SASL."""

LITERALS: Final = 8
"""Literals of one line: no command has more than two."""

_NUMBER_DIGITS = 10

_QUOTED = re.compile(rb'"((?:[^"\\\x00]|\\["\\])*)"')
_ESCAPED = re.compile(rb"\\(.)")
_ATOM = re.compile(rb"[\x21\x23-\x5b\x5d-\x7a\x7c\x7e]+")
_LITERAL = re.compile(rb"\{(\d{1,%d})(\+?)\}" % _NUMBER_DIGITS)
_LITERAL_END = re.compile(rb"\{(\d{1,%d})\+\}\Z" % _NUMBER_DIGITS)
_TAIL = _NUMBER_DIGITS + 4
"""Octets that the announcement of a literal may have, and CR."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A command, or a number."""

    text: str


@dataclass(frozen=True, slots=True)
class String:
    """A quoted string or a literal."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Oversize:
    """Stands for a literal that was too large to be kept."""

    size: int


Token: TypeAlias = Atom | String | Oversize


@dataclass(frozen=True, slots=True)
class Line:
    """What stood between two line ends."""

    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is none; the text says why."""

    why: str


Event: TypeAlias = Line | BadLine


class LineReader:
    """See the module."""

    def __init__(self, literal_limit: int) -> None:
        self.literal_limit = literal_limit
        """Octets of all literals of one line together."""
        self._buffer = b""
        self._searched = 0
        self._tokens: list[Token] = []
        self._kept = 0
        self._literals = 0
        self._want = -1
        """Octets of the literal that is being read, -1 where none is."""
        self._pieces: list[bytes] = []
        """What has come of it."""
        self._dropping = False
        self._error = ""

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._buffer += data

    def take_rest(self) -> bytes:
        """Give up what was not read: for a hand-over, or to be thrown away before TLS."""
        rest, self._buffer, self._searched = self._buffer, b"", 0
        return rest

    def next_event(self) -> Event | None:
        """The next line, or None until one is complete."""
        while True:
            if self._want >= 0 and not self._read_literal():
                return None
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                self._wait()
                return None
            piece, self._buffer, self._searched = self._buffer[:end], self._buffer[end + 1 :], 0
            if len(piece) > LINE_LIMIT:
                self._fail("the line is too long")
            if not self._take(piece.removesuffix(b"\r")):
                return self._finish()

    def _wait(self) -> None:
        """A line goes on; where it is too long, or wrong anyway, only what may announce a literal is kept of it."""
        if len(self._buffer) > LINE_LIMIT:
            self._fail("the line is too long")
        if self._error:
            self._buffer = self._buffer[-_TAIL:]
        self._searched = len(self._buffer)

    def _fail(self, why: str) -> None:
        self._error = self._error or why
        self._tokens, self._pieces = [], []

    # --- lines
    def _take(self, piece: bytes) -> bool:
        """Take a line, or the part of one before or behind a literal; whether a literal follows."""
        if not self._error:
            self._scan(piece)
        if self._want >= 0:
            return True
        if self._error and (found := _LITERAL_END.search(piece[-_TAIL:])):
            self._begin(int(found[1]))
            return True
        return False

    def _scan(self, piece: bytes) -> None:
        position = 0
        while position < len(piece):
            if self._tokens:
                if piece[position : position + 1] != b" ":
                    self._fail("a blank was expected between arguments")
                    return
                position += 1
            if found := _ATOM.match(piece, position):
                self._tokens.append(Atom(found[0].decode("ascii")))
            elif found := _QUOTED.match(piece, position):
                self._tokens.append(String(_ESCAPED.sub(rb"\1", found[1])))
            elif found := _LITERAL.fullmatch(piece, position):
                if found[2]:
                    self._begin(int(found[1]))
                else:
                    self._fail("a literal is announced as {n+}")
                return
            else:
                self._fail("an argument is no string, number or word")
                return
            position = found.end()

    def _finish(self) -> Event:
        tokens, error = tuple(self._tokens), self._error
        self._tokens, self._kept, self._literals, self._error = [], 0, 0, ""
        return BadLine(error) if error else Line(tokens)

    # --- literals
    def _begin(self, size: int) -> None:
        self._literals += 1
        if self._literals > LITERALS:
            self._fail("too many literals")
        self._want, self._pieces = size, []
        self._dropping = bool(self._error) or self._kept + size > self.literal_limit
        if not self._error and self._dropping:
            self._tokens.append(Oversize(size))
        elif not self._error:
            self._kept += size

    def _read_literal(self) -> bool:
        """Take what has come of a literal; whether that was its end."""
        piece, self._buffer = self._buffer[: self._want], self._buffer[self._want :]
        self._want -= len(piece)
        if not self._dropping:
            self._pieces.append(piece)
        if self._want:
            return False
        self._want = -1
        if not self._dropping:
            self._tokens.append(String(b"".join(self._pieces)))
            self._pieces = []
        return True
