"""The makes of mbox files (mbox(5)): where a message ends, and what its quoted lines were.

  * mboxo: lines that begin with `From ` get a `>`; mboxrd: those that begin with `>From ` too.
  * mboxcl2: nothing is quoted, `Content-Length:` says where the message ends; mboxcl: both, quoted as mboxo.

A file whose first messages all end where their `Content-Length:` says is taken for one of the latter two, since its
messages may hold what looks like the beginning of another.  Quoting cannot be told from the file: what is to be taken
away the user says, or the export that made it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Final

from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.interface import MessageContent
from pillarbox.lib.store.keeping import MOST_UID
from pillarbox.lib.store.mbox.parse import HEADER_LIMIT, Bytes, Found, find_messages
from pillarbox.lib.system.files import write_all

MAKES: Final[dict[str, re.Pattern[bytes] | None]] = {
    "mboxo": re.compile(rb"^>(?=From )", re.MULTILINE),
    "mboxrd": re.compile(rb"^>(?=>*From )", re.MULTILINE),
    "mboxcl": re.compile(rb"^>(?=From )", re.MULTILINE),
    "mboxcl2": None,
}
"""The `>` that each make has put there."""
LENGTHS: Final = ("mboxcl", "mboxcl2")
_LOOKED_AT: Final = 20
"""Messages by which a file is known."""
_LENGTH = re.compile(rb"^Content-Length:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_UID = re.compile(rb"^X-UID:[ \t]*([0-9]{1,10})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_BASE = re.compile(rb"^X-IMAP(?:base)?:[ \t]*([0-9]{1,10})[ \t]+([0-9]{1,10})\b", re.IGNORECASE | re.MULTILINE)
_INTERNAL = re.compile(rb"^X-IMAP:", re.IGNORECASE | re.MULTILINE)
_PIECE: Final = 1 << 20


def messages_by_length(data: Bytes, position: int, size: int) -> Iterator[Found]:
    """As `find_messages`, each message ended by its `Content-Length:` where something begins or ends there."""
    while position < size:
        found = next(find_messages(data, position, size), None)
        if found is None:
            return
        found = _measured(data, found, size) or found
        yield found
        position = found.next


def _measured(data: Bytes, found: Found, size: int) -> Found | None:
    start, end = header_range(data, found)
    match = _LENGTH.search(data, start, end)
    if match is None:
        return None
    stop = end + int(match[1])
    behind = data[stop : stop + 8]
    for line_end in (b"", b"\n", b"\r\n"):
        if behind == line_end or (
            behind.startswith(line_end + b"From ") and (line_end or data[stop - 1 : stop] == b"\n")
        ):
            return Found(found.offset, found.start, stop, stop + len(line_end)) if stop <= size else None
    return None


def has_lengths(data: Bytes) -> bool:
    """Whether the file is one of those whose messages say how long they are."""
    position, looked_at = 0, 0
    while position < len(data) and looked_at < _LOOKED_AT:
        found = next(find_messages(data, position, len(data)), None)
        measured = _measured(data, found, len(data)) if found is not None else None
        if measured is None:
            return False
        position = measured.next
        looked_at += 1
    return looked_at > 0


def header_range(data: Bytes, found: Found) -> tuple[int, int]:
    """Where the header begins, and where the body does."""
    limit = min(len(data), found.start + HEADER_LIMIT)
    ends = [data.find(b"\n\n", found.start - 1, limit) + 2, data.find(b"\n\r\n", found.start - 1, limit) + 3]
    ends = [end for end in ends if end > 3]
    return found.start, min(ends, default=found.end)


def numbered(data: Bytes, messages: Iterator[Found]) -> tuple[int, int] | None:
    """UIDVALIDITY (0: not said) and the next UID of a file each of whose messages has an `X-UID:`, ascending; else
    None."""
    validity, last = 0, 0
    base = None
    for found in messages:
        start, end = header_range(data, found)
        if base is None and (base := _BASE.search(data, start, end)) is not None:
            validity = int(base[1])
        if is_internal(data, found):
            continue
        match = _UID.search(data, start, end)
        if match is None or not last < int(match[1]) <= MOST_UID:
            return None
        last = int(match[1])
    uid_next = max(last, int(base[2]) if base is not None else 0) + 1
    return (validity, uid_next) if last and validity <= MOST_UID and uid_next <= MOST_UID else None


def is_internal(data: Bytes, found: Found) -> bool:
    """Whether it is the message that UW's server puts at the beginning for itself."""
    start, end = header_range(data, found)
    return found.offset == 0 and _INTERNAL.search(data, start, end) is not None


def open_message(
    fd: int, data: Bytes, segments: Sequence[tuple[int, int]], size: int, quotes: re.Pattern[bytes] | None
) -> MessageContent:
    """The ranges of the file, without the `>` that were put there.  Raises OSError."""
    if quotes is None or not any(quotes.search(data, begin, begin + length) for begin, length in segments):
        return FileContent(os.dup(fd), segments, size)
    with tempfile.TemporaryFile() as copy:
        for begin, length in segments:
            position = begin
            for match in quotes.finditer(data, begin, begin + length):
                _copy(data, position, match.start(), copy.fileno())
                position = match.end()
            _copy(data, position, begin + length, copy.fileno())
        return FileContent(os.dup(copy.fileno()), ((0, os.fstat(copy.fileno()).st_size),))


def _copy(data: Bytes, start: int, end: int, target: int) -> None:
    for position in range(start, end, _PIECE):
        write_all(target, data[position : min(end, position + _PIECE)])
