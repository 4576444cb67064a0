"""Which texts BODY and TEXT search (RFC 9051 section 6.4.4): text parts, decoded, and headers of attached messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pillarbox.lib.message.encoded_words import decode_words
from pillarbox.lib.message.header import scan, unfold
from pillarbox.lib.mime import Part
from pillarbox.lib.mime.charset import decode_text
from pillarbox.lib.mime.decoding import decode_transfer
from pillarbox.lib.store.interface import MessageContent
from pillarbox.lib.store.text.fold import Needle


def header_text(header: bytes) -> str:
    """A header, decoded and unfolded, as TEXT searches it."""
    return decode_words(unfold(header))


def field_texts(header: bytes) -> Iterator[str]:
    """The values of the fields, as HEADER searches them."""
    for field in scan(header):
        yield decode_words(unfold(header[field.value : field.end]))


def body_texts(part: Part, content: MessageContent) -> Iterator[Iterable[str]]:
    """The texts of a message's body, each in pieces."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        for child in reversed(part.children):
            if child.octets or child.header_start < child.body_start:
                if part.is_message:
                    yield (header_text(content.read(child.header_start, child.body_start - child.header_start)),)
                waiting.append(child)
        if part.type == b"text":
            yield text_of(part, content)


def part_contains(part: Part, content: MessageContent, needle: Needle) -> bool:
    """Whether a text of the body has the needle in it."""
    return any(needle.is_in_pieces(text) for text in body_texts(part, content))


def text_of(part: Part, content: MessageContent) -> Iterator[str]:
    """The text of a part in pieces."""
    charset = next((value for name, value in part.parameters if name == b"charset"), b"us-ascii")
    octets = decode_transfer(part.encoding, content.chunks(part.body_start, part.octets))
    name = charset.decode("ascii", "replace")
    # Undeclared 8-bit text is mostly UTF-8 nowadays, and ASCII is a part of it.
    return decode_text("utf-8" if name.lower() in ("us-ascii", "ascii") else name, octets)
