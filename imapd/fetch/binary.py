"""BINARY[part]<partial>, BINARY.PEEK and BINARY.SIZE (RFC 3516): parts without their transfer encoding.

`BINARY[]`, the message as a whole, comes as it is.  A part whose encoding nobody knows is answered with UNKNOWN-CTE.
What is larger than `IN_MEMORY` is decoded twice, for its size and then for the client, and never held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pillarbox.imapd.fetch.body_section import IN_MEMORY, parse_partial
from pillarbox.imapd.fetch.item import Item, ItemParser, Message, Stream
from pillarbox.imapd.fetch.section import Section, parse_section
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.protocol.response import NIL
from pillarbox.lib.mime import find_part
from pillarbox.lib.mime.decoding import IDENTITY, KNOWN, decode_transfer


@dataclass(frozen=True, slots=True)
class Place:
    """A part in its encoding."""

    start: int
    size: int
    encoding: bytes


def find(numbers: tuple[int, ...], message: Message) -> Place | None:
    """The part, None where the message has none.  Raises CommandFailed for an encoding that is unknown."""
    if not numbers:
        return Place(0, message.content.size, b"binary")
    part = find_part(message.tree, numbers)
    if part is None:
        return None
    encoding = b"binary" if part.children else part.encoding
    if encoding not in KNOWN:
        raise CommandFailed("The transfer encoding of the part is unknown.", "UNKNOWN-CTE")
    return Place(part.body_start, part.octets, encoding)


def decoded(place: Place, message: Message) -> Iterator[bytes]:
    """The octets of the part."""
    return decode_transfer(place.encoding, message.content.chunks(place.start, place.size))


def cut(chunks: Iterable[bytes], start: int, count: int) -> Iterator[bytes]:
    """Octets [start, start+count) of pieces."""
    for chunk in chunks:
        piece = chunk[start : start + count]
        start = max(0, start - len(chunk))
        count -= len(piece)
        if piece:
            yield piece
        if not count:
            return


@dataclass(frozen=True, slots=True)
class BinarySection(Item):
    """BINARY and BINARY.PEEK; `name` is what the response calls it."""

    numbers: tuple[int, ...]
    name: bytes
    sets_seen: bool = True
    partial: tuple[int, int] | None = None

    def _pieces(self, place: Place, message: Message) -> Iterator[bytes]:
        pieces = decoded(place, message)
        return pieces if self.partial is None else cut(pieces, *self.partial)

    def render(self, message: Message) -> bytes | Stream:
        place = find(self.numbers, message)
        if place is None:
            return self.name + b" " + NIL
        if place.size <= IN_MEMORY:
            pieces = list(self._pieces(place, message)) if place.size else []
            return self._stream(sum(map(len, pieces)), any(b"\0" in piece for piece in pieces), pieces)
        size, nul = 0, False
        for piece in self._pieces(place, message):
            size += len(piece)
            nul = nul or b"\0" in piece
        return self._stream(size, nul, self._pieces(place, message))

    def _stream(self, size: int, nul: bool, pieces: Iterable[bytes]) -> Stream:
        """As literal8 where the octets need it."""
        return Stream(b"%b %b{%d}\r\n" % (self.name, b"~" if nul else b"", size), size, iter(pieces), as_it_is=nul)


@dataclass(frozen=True, slots=True)
class BinarySize(Item):
    """BINARY.SIZE: of the decoded part."""

    numbers: tuple[int, ...]
    name: bytes

    def render(self, message: Message) -> bytes:
        place = find(self.numbers, message)
        if place is None:
            size = 0
        elif place.encoding in IDENTITY:
            size = place.size
        else:
            size = sum(map(len, decoded(place, message)))
        return b"%b %d" % (self.name, size)


def _parse_part(cursor: Cursor) -> Section:
    """section-binary = "[" [section-part] "]"."""
    section = parse_section(cursor)
    if section.text:
        raise BadSyntax("a part number expected")
    return section


def parse_binary(cursor: Cursor, *, peek: bool) -> BinarySection:
    """What follows BINARY or BINARY.PEEK."""
    section = _parse_part(cursor)
    partial = parse_partial(cursor)
    name = b"BINARY[%b]" % section.name()
    if partial is not None:
        name += b"<%d>" % partial[0]
    return BinarySection(section.numbers, name, not peek, partial)


def parse_size(cursor: Cursor) -> BinarySize:
    """What follows BINARY.SIZE."""
    section = _parse_part(cursor)
    return BinarySize(section.numbers, b"BINARY.SIZE[%b]" % section.name())


CAPABILITIES = ("BINARY",)
ITEMS: dict[bytes, ItemParser] = {
    b"BINARY": lambda cursor: parse_binary(cursor, peek=False),
    b"BINARY.PEEK": lambda cursor: parse_binary(cursor, peek=True),
    b"BINARY.SIZE": parse_size,
}
