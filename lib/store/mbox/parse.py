"""Finding the messages in an mbox file, and what their status headers say.

A message begins at a line `From ...` that has a time of day in it and stands at the start of the file or after an empty
line.  `Status:`, `X-Status:`, `X-Keywords:` and the `X-UID:` family are the mailbox's own notes, kept in the header by
mail programs; they are not part of the message that is shown.
"""

from __future__ import annotations

import hashlib
import mmap
import re
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from pillarbox.lib.store.interface import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from pillarbox.lib.store.lines import wire_size

Bytes = bytes | mmap.mmap

_SEPARATOR = re.compile(rb"\r?\n\r?\n(?=From [^\n]*[0-9]:[0-9][0-9][^\n]*\n)")
_FROM_LINE = re.compile(rb"From [^\n]*[0-9]:[0-9][0-9][^\n]*\n")
_DATE = re.compile(
    rb"([A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]{1,2} [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?: +[A-Z+\-0-9]+)*? +([0-9]{4})\b"
)
_HIDDEN = re.compile(
    rb"^(Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n",
    re.IGNORECASE | re.MULTILINE,
)
HEADER_LIMIT: Final = 1 << 20
"""Longest header that is searched for status lines."""

_LETTERS: Final = {b"R": SEEN, b"A": ANSWERED, b"F": FLAGGED, b"D": DELETED, b"T": DRAFT}


class Found(NamedTuple):
    """One message in the file."""

    offset: int
    """Of its `From_` line."""
    start: int
    """Of its header."""
    end: int
    """After its last line, the empty line that ends a message in the file left out."""
    next: int
    """Where the next message begins, or the file's end."""


def find_messages(data: Bytes, position: int, size: int) -> Iterator[Found]:
    """Messages from `position`, where one begins (or anything, which is then passed over), to `size`."""
    first = _FROM_LINE.match(data, position)
    if first is None:
        separator = _SEPARATOR.search(data, position)
        if separator is None:
            return
        position = separator.end()
    while position < size:
        line_end = data.find(b"\n", position) + 1
        separator = _SEPARATOR.search(data, max(position, line_end - 2))
        if separator is None:
            yield Found(position, line_end, _without_empty_line(data, line_end, size), size)
            return
        following = separator.end()
        yield Found(position, line_end, max(line_end, _without_empty_line(data, line_end, following)), following)
        position = following


def _without_empty_line(data: Bytes, start: int, end: int) -> int:
    """The end of a message that is followed by the empty line which the format puts there."""
    if data[max(start - 1, end - 2) : end] == b"\n\n":
        return end - 1
    if data[max(start - 1, end - 3) : end] == b"\n\r\n":
        return end - 2
    return end


class Details(NamedTuple):
    """What is known of a message besides its place."""

    fingerprint: str
    size: int
    """Octets on the wire, hidden lines left out."""
    date: float
    flags: int
    keywords: tuple[str, ...]
    old: bool
    uid: int
    """From X-UID, 0 where there is none."""
    hidden: tuple[tuple[int, int], ...]
    """Ranges of the file that are not shown."""


def examine(data: Bytes, found: Found) -> Details:
    """Read a message's `From_` line and header."""
    header_end = data.find(b"\n\n", found.start - 1, min(found.end, found.start + HEADER_LIMIT))
    header_end = found.end if header_end < 0 else header_end + 1
    header = bytes(data[found.start : max(found.start, header_end)])
    flags, keywords, old, uid = 0, (), False, 0
    hidden = []
    shown = header
    for match in _HIDDEN.finditer(header):
        name, value = match[1].lower(), match[2]
        hidden.append((found.start + match.start(), found.start + match.end()))
        if name in (b"status", b"x-status"):
            for letter, bit in _LETTERS.items():
                if letter in value and (letter == b"R") == (name == b"status"):
                    flags |= bit
            old = old or (name == b"status" and b"O" in value)
        elif name == b"x-keywords":
            keywords = tuple(sorted(value.decode("ascii", "replace").split()))
        elif name == b"x-uid" and value.strip().isdigit() and len(value) < 12:
            uid = int(value)
    if hidden:
        shown = _HIDDEN.sub(b"", header)
    from_line = bytes(data[found.offset : found.start])
    digest = hashlib.blake2b(from_line + shown + b"%d" % (found.end - header_end), digest_size=16).hexdigest()
    size = wire_size(shown) + sum(wire_size(piece) for piece in _pieces(data, max(found.start, header_end), found.end))
    return Details(digest, size, _date(from_line), flags, keywords, old, uid, tuple(hidden))


def _pieces(data: Bytes, start: int, end: int) -> Iterator[bytes]:
    """A range in pieces that do not part a CR from its LF."""
    while start < end:
        stop = min(end, start + (1 << 20))
        while stop < end and data[stop - 1 : stop] == b"\r":
            stop += 1
        yield bytes(data[start:stop])
        start = stop


def _date(from_line: bytes) -> float:
    match = _DATE.search(from_line)
    if match is None:
        return 0.0
    stamp = b"%s %s" % (match[1], match[2])
    for form in ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M %Y"):
        try:
            return time.mktime(time.strptime(stamp.decode("ascii"), form))
        except (ValueError, OverflowError):
            continue
    return 0.0


def status_lines(flags: int, keywords: tuple[str, ...], old: bool = True) -> bytes:
    """The hidden header lines for these flags; nothing where there is nothing to say."""
    lines = b""
    status = (b"R" if flags & SEEN else b"") + (b"O" if old else b"")
    other = b"".join(letter for letter, bit in _LETTERS.items() if bit != SEEN and flags & bit)
    if status:
        lines += b"Status: " + status + b"\n"
    if other:
        lines += b"X-Status: " + other + b"\n"
    if keywords:
        lines += b"X-Keywords: " + " ".join(keywords).encode() + b"\n"
    return lines
