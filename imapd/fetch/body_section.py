"""BODY[section]<partial> and BODY.PEEK (RFC 9051 section 6.4.5), and RFC822, RFC822.HEADER, RFC822.TEXT (RFC 3501)."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.fetch.header_fields import KEPT, HeaderFields
from pillarbox.imapd.fetch.item import Item, ItemParser, Literals, Message, Stream, plain
from pillarbox.imapd.fetch.section import Section, locate, parse_section
from pillarbox.imapd.fetch.structure import BODY
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.response import NIL, literal
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.content import PIECE

IN_MEMORY = 128 * 1024
"""Octets of a section that is read before anything is said; larger ones are streamed."""

SMALL = 2048
"""Octets that are copied rather than sent as a piece of their own."""


@dataclass(frozen=True, slots=True)
class BodySection(Item):
    """One such item; `name` is what the response calls it."""

    section: Section
    name: bytes
    sets_seen: bool = True
    partial: tuple[int, int] | None = None
    """First octet and number of octets."""

    def render(self, message: Message) -> bytes | Stream:
        place = locate(self.section, message)
        if place is None:
            return self.name + b" " + NIL
        if isinstance(place, bytes):
            return self.name + b" " + literal(self._cut(place))
        start, end = place
        if self.partial is not None:
            start = min(end, start + self.partial[0])
            end = min(end, start + self.partial[1])
        size = end - start
        if size <= SMALL:
            return self.name + b" " + literal(message.content.read(start, size) if size else b"")
        if size <= IN_MEMORY:
            content = message.content
            pieces = [content.read(start, size)] if content.size <= PIECE else list(content.chunks(start, size))
            return Stream(b"%b {%d}\r\n" % (self.name, size), size, iter(pieces))
        return Stream(b"%b {%d}\r\n" % (self.name, size), size, message.content.chunks(start, size))

    def column(self, session: Session, start: int, stop: int) -> Literals | None:
        if self.section.numbers or self.section.text or self.partial is not None:
            return None
        selected = session.mailbox
        texts = selected.mailbox.read_whole(selected.uids[start:stop], IN_MEMORY)
        return Literals(self.name, texts)

    def _cut(self, data: bytes) -> bytes:
        if self.partial is None:
            return data
        start, count = self.partial
        return data[start : start + count]


def parse_partial(cursor: Cursor) -> tuple[int, int] | None:
    """partial = "<" number64 "." nz-number64 ">"."""
    if not cursor.accept(b"<"):
        return None
    start = cursor.number()
    cursor.expect(b".")
    count = cursor.nz_number()
    cursor.expect(b">")
    return start, count


def parse_body_section(cursor: Cursor, *, peek: bool) -> Item:
    """What follows BODY or BODY.PEEK."""
    section = parse_section(cursor)
    partial = parse_partial(cursor)
    name = b"BODY[%b]" % section.name()
    if partial is not None:
        name += b"<%d>" % partial[0]
    elif section.text == b"HEADER.FIELDS" and not section.numbers:
        wanted = frozenset(field.lower() for field in section.fields)
        if wanted <= KEPT:
            return HeaderFields(wanted, name, not peek)
    return BodySection(section, name, not peek, partial)


RFC822 = BodySection(Section(), b"RFC822")
RFC822_HEADER = BodySection(Section(text=b"HEADER"), b"RFC822.HEADER", sets_seen=False)
RFC822_TEXT = BodySection(Section(text=b"TEXT"), b"RFC822.TEXT")

ITEMS: dict[bytes, ItemParser] = {
    b"BODY": lambda cursor: parse_body_section(cursor, peek=False) if cursor.peek(b"[") else BODY,
    b"BODY.PEEK": lambda cursor: parse_body_section(cursor, peek=True),
    b"RFC822": plain(RFC822),
    b"RFC822.HEADER": plain(RFC822_HEADER),
    b"RFC822.TEXT": plain(RFC822_TEXT),
}
