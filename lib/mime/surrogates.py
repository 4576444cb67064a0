"""Surrogates of internationalized messages (RFC 6858): all of their headers made ASCII, those of parts inside too.

    for piece in surrogate(read): ...

`read()` gives the message in pieces with CRLF line ends, anew on each call.  Most messages are gone through once: those
without parts, and those that fit into memory and are ASCII.  Others are looked through for octets above 127, and where
there are some, for their parts.  Nothing is held but a header, at most `HEADER_LIMIT` octets of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pillarbox.lib.message.header import HeaderReader
from pillarbox.lib.message.surrogate import surrogate_header
from pillarbox.lib.mime.part import header_places
from pillarbox.lib.mime.scan import scan_message
from pillarbox.lib.mime.stretches import WireReader

HEADER_LIMIT: Final = 256 * 1024
"""Octets of a header that is looked at; of a longer one the rest stays as it is."""

HELD: Final = 128 * 1024
"""Octets of a message that are held while it is looked through."""

_WITH_PARTS = re.compile(rb"^content-type[ \t]*:\s*(?:multipart|message)\s*/", re.IGNORECASE | re.MULTILINE)

Source = Callable[[], Iterable[bytes]]


def surrogate(read: Source) -> Iterator[bytes]:
    """The message, its headers made ASCII where they are UTF-8."""
    pieces = iter(read())
    first = next(pieces, b"")
    end = first.find(b"\r\n\r\n")
    if 0 <= end < HEADER_LIMIT and first[:end].isascii() and not _WITH_PARTS.search(first, 0, end):
        yield first  # most mail: nothing is copied
        yield from pieces
        return
    reader = HeaderReader(HEADER_LIMIT)
    complete = reader.feed(first) if first else False
    while not complete and (piece := next(pieces, b"")):
        complete = reader.feed(piece)
    if not complete:
        reader.close()
    yield surrogate_header(reader.block)
    if _WITH_PARTS.search(reader.block):
        yield from _body(read, len(reader.block), reader.rest, pieces)
        return
    if reader.rest:
        yield reader.rest
    yield from pieces


def _body(read: Source, start: int, rest: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The message from `start` on, which is `rest` and `pieces`."""
    held, size = [rest], len(rest)
    plain = rest.isascii()
    while plain and (piece := next(pieces, b"")):
        plain = piece.isascii()
        size += len(piece)
        if size <= HELD:
            held.append(piece)
    if plain and size <= HELD:
        yield from filter(None, held)
        return
    wire = WireReader(read())
    for _ in wire.until(start):
        pass
    if not plain:
        places = header_places(scan_message(read()))
        next(places)
        for header_start, end in places:
            yield from wire.until(header_start)
            yield surrogate_header(b"".join(wire.until(min(end, header_start + HEADER_LIMIT))))
            yield from wire.until(end)
    yield from wire.rest()
