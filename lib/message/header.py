"""Header blocks (RFC 5322 section 2.2) by byte offsets.

Promises: every byte of a block is either in exactly one field or after the header; nothing is decoded; work is linear.
Lenient as mail is: blanks before the colon, CR before LF, any octet in a value.  The first line that is neither
a field nor a continuation ends the header, with or without an empty line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LINE_LIMIT = 998
"""Octets of a line without its end (RFC 5322 section 2.1.1)."""

FOLD_AT = 78
"""Where lines that we write are folded (RFC 5322 section 2.1.1, SHOULD)."""

# ftext is printable ASCII without the colon.  Continuation lines begin with a blank.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
_FOLDING = re.compile(rb"\r?\n(?=[ \t])|[\r\n]+\Z")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_WORD = re.compile(rb"[ \t]*[^ \t]+")
_WORD_LIMIT = LINE_LIMIT - 100  # leaves room for the field's name


@dataclass(frozen=True, slots=True)
class Field:
    """A field: `block[start:end]` is all of it with its line end, `block[value:end]` what follows the colon."""

    name: bytes
    start: int
    value: int
    end: int


def scan(block: bytes) -> Iterator[Field]:
    """The fields at the beginning of `block`, in order."""
    position = 0
    while (found := _FIELD.match(block, position)) is not None:
        name = found.group(1)
        yield Field(name, position, block.index(b":", position + len(name)) + 1, found.end())
        position = found.end()


def header_end(block: bytes) -> int:
    """Where the header ends: the offset of the empty line, or of the first line that is no header."""
    end = 0
    for field in scan(block):
        end = field.end
    return end


def body_start(block: bytes) -> int:
    """Where the body begins: after the empty line that ends the header, if there is one."""
    end = header_end(block)
    for empty in (b"\n", b"\r\n"):
        if block.startswith(empty, end):
            return end + len(empty)
    return end


def field_value(block: bytes, field: Field) -> bytes:
    """The unfolded value without surrounding blanks."""
    return unfold(block[field.value : field.end])


def values(block: bytes, name: bytes) -> Iterator[bytes]:
    """The unfolded values of all fields of that name (any case), in order."""
    wanted = name.lower()
    for field in scan(block):
        if field.name.lower() == wanted:
            yield field_value(block, field)


def first_value(block: bytes, name: bytes) -> bytes | None:
    """The unfolded value of the first field of that name, None where there is none."""
    return next(values(block, name), None)


def unfold(value: bytes) -> bytes:
    """Remove line ends that are followed by a blank (RFC 5322 section 2.2.3) and blanks at both ends."""
    if b"\n" not in value and b"\r" not in value:
        return value.strip(b" \t")
    return _FOLDING.sub(b"", value).strip(b" \t\r\n")


def compose(name: bytes, value: bytes, *, fold_at: int = FOLD_AT) -> bytes:
    """One field, folded before blanks, with its line end; unfolding gives `value` again.

    Line ends inside the value become blanks: nobody can smuggle a second field in.  Only a word longer than LINE_LIMIT
    is cut, which inserts a blank.
    """
    lines: list[bytes] = []
    line = name + b":"
    for word in _words(_LINE_ENDS.sub(b" ", value).strip(b" \t")):
        if len(line) + len(word) > fold_at and line[-1:] != b":":
            lines.append(line)
            line = word
        else:
            line += word
    lines.append(line)
    return b"\n".join(lines) + b"\n"


def _words(value: bytes) -> Iterator[bytes]:
    """The words, each with the blanks before it, and at least one."""
    for word in _WORD.findall(value):
        for start in range(0, len(word), _WORD_LIMIT):
            piece = word[start : start + _WORD_LIMIT]
            yield piece if piece[:1] in (b" ", b"\t") else b" " + piece


class HeaderReader:
    """Collects a header block from chunks, whatever their sizes.

    `feed` returns True once the end of the header was seen or `limit` octets were collected; then `block` holds the
    header with the end of its last line and `rest` what came after (the empty line included).
    """

    __slots__ = ("_buffer", "_limit", "block", "rest")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self.block = b""
        self.rest = b""

    def feed(self, chunk: bytes) -> bool:
        """Take more; a second call after True is an error of the caller."""
        seam = max(0, len(self._buffer) - 3)
        self._buffer += chunk
        complete = self._buffer[:1] == b"\n" or self._buffer[:2] == b"\r\n"
        complete = complete or self._buffer.find(b"\n\n", seam) >= 0 or self._buffer.find(b"\n\r\n", seam) >= 0
        if complete or len(self._buffer) >= self._limit:
            self._finish()
            return True
        return False

    def close(self) -> None:
        """The message has ended."""
        self._finish()

    def _finish(self) -> None:
        data = bytes(self._buffer)
        end = header_end(data)
        self.block, self.rest = data[:end], data[end:]
