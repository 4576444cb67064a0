"""Sections of a message (RFC 9051 section 6.4.5.1): what stands between the brackets of BODY[...]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.response import astring, parenthesized
from pillarbox.lib.message.header import scan
from pillarbox.lib.mime import Part, find_part
from pillarbox.lib.store.interface import MessageContent

DEPTH_LIMIT = 200
"""Numbers in a section; deeper parts are not read anyway."""

_TEXTS = (b"HEADER.FIELDS.NOT", b"HEADER.FIELDS", b"HEADER", b"TEXT", b"MIME")  # longest first

Range: TypeAlias = tuple[int, int]
"""Octets [start, end) of the message."""


@dataclass(frozen=True, slots=True)
class Section:
    """Part numbers, what of the part, and for HEADER.FIELDS which fields."""

    numbers: tuple[int, ...] = ()
    text: bytes = b""
    fields: tuple[bytes, ...] = ()

    def name(self) -> bytes:
        """As it stands in the response, without the brackets."""
        words = [b"%d" % number for number in self.numbers]
        if self.text:
            words.append(self.text)
        name = b".".join(words)
        return name + b" " + parenthesized(map(astring, self.fields)) if self.fields else name


def parse_section(cursor: Cursor) -> Section:
    """section = "[" [section-spec] "]"."""
    cursor.expect(b"[")
    numbers: list[int] = []
    text = b""
    fields: tuple[bytes, ...] = ()
    while not cursor.peek(b"]"):
        if cursor.at_set:
            numbers.append(cursor.nz_number())
            if len(numbers) > DEPTH_LIMIT:
                raise BadSyntax("section too deep")
            if not cursor.accept(b"."):
                break
        else:
            text = next((word for word in _TEXTS if cursor.accept(word)), b"")
            if not text or (text == b"MIME" and not numbers):
                cursor.fail("a section")
            if text.startswith(b"HEADER.FIELDS"):
                cursor.space()
                fields = _header_list(cursor)
            break
    cursor.expect(b"]")
    return Section(tuple(numbers), text, fields)


def _header_list(cursor: Cursor) -> tuple[bytes, ...]:
    cursor.expect(b"(")
    fields = [cursor.astring()]
    while not cursor.accept(b")"):
        cursor.space()
        fields.append(cursor.astring())
    return tuple(fields)


class Readable(Protocol):
    """What of a message a section is made from."""

    @property
    def content(self) -> MessageContent: ...

    @property
    def tree(self) -> Part: ...


def locate(section: Section, message: Readable) -> Range | bytes | None:
    """Where the section lies in the message, or its octets; None where the message has no such section."""
    if not section.numbers:
        return _of_message(section, message)
    part = find_part(message.tree, section.numbers)
    if part is None:
        return None
    if not section.text:
        return part.body_start, part.end
    if section.text == b"MIME":
        return part.header_start, part.body_start
    if not part.is_message:
        return None
    inner = part.children[0]
    if section.text == b"TEXT":
        return inner.body_start, inner.end
    if section.text == b"HEADER":
        return inner.header_start, inner.body_start
    header = message.content.read(inner.header_start, inner.body_start - inner.header_start)
    return select_fields(header, section)


def _of_message(section: Section, message: Readable) -> Range | bytes:
    content = message.content
    if not section.text:
        return 0, content.size
    header = content.header()
    if section.text == b"HEADER":
        return header
    if section.text == b"TEXT":
        return len(header), content.size
    return select_fields(header, section)


def select_fields(header: bytes, section: Section) -> bytes:
    """The fields that HEADER.FIELDS names, or those that it does not, with the empty line behind them."""
    wanted = {name.lower() for name in section.fields}
    inverted = section.text == b"HEADER.FIELDS.NOT"
    return b"".join(_lines(header, wanted, inverted)) + b"\r\n"


def _lines(header: bytes, wanted: set[bytes], inverted: bool) -> Iterator[bytes]:
    for field in scan(header):
        if (field.name.lower() in wanted) != inverted:
            yield header[field.start : field.end]
