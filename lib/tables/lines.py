"""Logical lines, the line grammar that table sources, alias files and pattern tables share (postmap(1)).

A line that begins with white space continues the one before it; empty lines and lines whose first text is `#` are
skipped and do not end a logical line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

LINE_LIMIT = 1024 * 1024
"""Longest logical line, in bytes: an alias with tens of thousands of members fits; what is longer is no table."""

Warn = Callable[[str], None]
_BLANK = b" \t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """`number` is that of its first physical line; `text` has no line end."""

    number: int
    text: str


def decode(data: bytes) -> str:
    """Text of a table file: UTF-8; other bytes survive as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The reverse of `decode`."""
    return text.encode("utf-8", "surrogateescape")


def logical_lines(source: Iterable[bytes], name: str, warn: Warn) -> Iterator[LogicalLine]:
    """Read physical lines (with or without line ends) and give the logical ones.

    A logical line that begins with white space has nothing to continue: it is reported and dropped.
    Raises ValueError for a line beyond LINE_LIMIT.
    """
    pieces: list[bytes] = []
    first = size = 0
    for number, line in enumerate(source, 1):
        line = line.rstrip(b"\r\n")
        content = line.lstrip(_BLANK)
        if not content or content[:1] == b"#":
            continue
        if line[:1] not in (b" ", b"\t", b"\v", b"\f", b"\r") and pieces:
            yield from _finished(pieces, first, name, warn)
            pieces, size = [], 0
        if not pieces:
            first = number
        size += len(line)
        if size > LINE_LIMIT:
            raise ValueError(f"{name}, line {number}: a line of at most {LINE_LIMIT} bytes was expected")
        pieces.append(line)
    if pieces:
        yield from _finished(pieces, first, name, warn)


def _finished(pieces: list[bytes], first: int, name: str, warn: Warn) -> Iterator[LogicalLine]:
    text = decode(b"".join(pieces))
    if text[0].isspace():
        shown = text if len(text) <= 30 else text[:30] + "..."
        warn(f'{name}: logical line must not start with whitespace: "{shown}"')
        return
    yield LogicalLine(first, text)
