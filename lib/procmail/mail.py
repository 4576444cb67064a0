"""The message as recipes see it, and the forms in which it goes into folders and programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.message.mbox import FromQuoter

HEADER_LIMIT: Final = 1 << 20
"""Bytes of header that are kept in memory: as much as cleanup looks at."""
CHUNK: Final = 64 * 1024
_FOLD = re.compile(rb"\n(?=[ \t])")


@dataclass(frozen=True, slots=True)
class Mail:
    """A message with LF line ends.

    `header` begins with the `From ` line and ends with the empty line before the body; `body` gives the body in
    pieces, from its beginning each time; `body_size` in bytes.
    """

    header: bytes
    body: Callable[[], Iterable[bytes]]
    body_size: int

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self.header) + self.body_size

    def area(self, header: bool, body: bool) -> Iterator[bytes]:
        """What expressions look at: a header's continued fields as one line each."""
        if header:
            yield _FOLD.sub(b" ", self.header)
        if body:
            yield from self.body()

    def part(self, header: bool, body: bool) -> Iterator[bytes]:
        """The header, the body or both, as they are."""
        if header:
            yield self.header
        if body:
            yield from self.body()

    def part_size(self, header: bool, body: bool) -> int:
        """Bytes of that."""
        return len(self.header) * header + self.body_size * body

    def field(self, name: bytes) -> bytes:
        """A header field as it stands, without its line end; empty if it is not there."""
        found = re.search(rb"^" + re.escape(name) + rb":[^\n]*", self.header, re.MULTILINE | re.IGNORECASE)
        return found[0] if found else b""

    @property
    def from_line(self) -> bytes:
        """The line that begins it in an mbox file, with its line end; empty if there is none."""
        return self.header.partition(b"\n")[0] + b"\n" if self.header.startswith(b"From ") else b""


def mail_of(read: Callable[[int, int], bytes], size: int) -> Mail:
    """The mail that `size` bytes make; `read(start, count)` gives up to `count` of them.

    What is beyond HEADER_LIMIT counts as body.
    """
    block = b""
    end = -1
    while end < 0 and len(block) < min(size, HEADER_LIMIT):
        seam = max(0, len(block) - 1)
        piece = read(len(block), CHUNK)
        if not piece:
            break
        block += piece
        end = 1 if block.startswith(b"\n") else block.find(b"\n\n", seam) + 2
        end = end if end > 1 or block.startswith(b"\n") else -1
    end = end if end >= 0 else min(len(block), HEADER_LIMIT)

    def body() -> Iterator[bytes]:
        position = end
        while position < size:
            data = read(position, CHUNK)
            if not data:
                raise EOFError("the message is shorter than it was")
            yield data
            position += len(data)

    return Mail(block[:end], body, size - end)


@dataclass(frozen=True, slots=True)
class Letter:
    """What of a mail is delivered, and how: the flags h, b and r."""

    mail: Mail
    header: bool = True
    body: bool = True
    raw: bool = False

    def _text(self, from_line: bool) -> Iterator[bytes]:
        pieces = self.mail.part(self.header, self.body)
        start = self.mail.from_line if self.header else b""
        if start and not from_line:
            yield next(pieces)[len(start) :]
        yield from pieces

    def as_it_is(self) -> Iterator[bytes]:
        """For a Maildir: without the `From ` line, nothing added."""
        return self._text(from_line=False)

    def ended(self, *, from_line: bool = True) -> Iterator[bytes]:
        """For programs and directories: an empty line at its end, unless raw."""
        return self._text(from_line) if self.raw else _ended(self._text(from_line))

    def quoted(self) -> Iterator[bytes]:
        """For an mbox file: lines that would begin a message are quoted, and an empty line ends it, unless raw."""
        return self._text(True) if self.raw else _ended(self._quoted())

    def _quoted(self) -> Iterator[bytes]:
        start = self.mail.from_line if self.header else b""
        pieces = self._text(from_line=not start)
        if start:
            yield start
        quoter = FromQuoter()
        for piece in pieces:
            yield quoter.feed(piece)
        yield quoter.close()

    @property
    def size(self) -> int:
        """Bytes, before anything is added."""
        return self.mail.part_size(self.header, self.body)


def _ended(pieces: Iterable[bytes]) -> Iterator[bytes]:
    end = b""
    for piece in pieces:
        end = (end + piece)[-2:]
        yield piece
    if end != b"\n\n":
        yield b"\n"
