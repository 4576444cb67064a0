"""BINARY[part]<partial>, BINARY.PEEK and BINARY.SIZE (RFC 3516): parts without their transfer encoding.

`BINARY[]` is the message as a whole with all of its parts decoded, and so is a part that has parts.  One whose encoding
nobody knows is answered with UNKNOWN-CTE.  What is larger than `IN_MEMORY` is decoded twice, for its size and then for
the client, and never held.
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
from pillarbox.lib.mime.decoded import Stretch, UnknownEncoding, decoded_stretches, read_decoded


def find(numbers: tuple[int, ...], message: Message) -> list[Stretch] | None:
    """The part, None where the message has none.  Raises CommandFailed for an encoding that is unknown."""
    part = find_part(message.tree, numbers)
    if part is None:
        return None
    try:
        return decoded_stretches(part, with_header=not numbers)
    except UnknownEncoding:
        raise CommandFailed("The transfer encoding of a part is unknown.", "UNKNOWN-CTE") from None


def decoded(place: Iterable[Stretch], message: Message) -> Iterator[bytes]:
    """The octets of the part."""
    return read_decoded(place, message.content.chunks)


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

    def _pieces(self, place: Iterable[Stretch], message: Message) -> Iterator[bytes]:
        pieces = decoded(place, message)
        return pieces if self.partial is None else cut(pieces, *self.partial)

    def render(self, message: Message) -> bytes | Stream:
        place = find(self.numbers, message)
        if place is None:
            return self.name + b" " + NIL
        if sum(stretch.size for stretch in place) <= IN_MEMORY:
            pieces = list(self._pieces(place, message)) if place else []
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
        elif all(stretch.stays for stretch in place):
            size = sum(stretch.size for stretch in place)
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
