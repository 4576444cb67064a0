"""BODY and TEXT: the text parts, decoded, and for TEXT the header too.  The message passes through in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser
from pillarbox.imapd.search.text import Needle
from pillarbox.lib.message.encoded_words import decode_words
from pillarbox.lib.message.header import unfold
from pillarbox.lib.mime import Part
from pillarbox.lib.mime.charset import decode_text
from pillarbox.lib.mime.decoding import decode_transfer
from pillarbox.lib.store.interface import MessageContent


@dataclass(frozen=True)
class InBody(Key):
    needle: Needle
    cost = 100

    def matches(self, candidate: Candidate) -> bool:
        return part_contains(candidate.tree, candidate.content, self.needle)


@dataclass(frozen=True)
class InText(Key):
    needle: Needle
    cost = 100

    def matches(self, candidate: Candidate) -> bool:
        if header_contains(candidate.header, self.needle):
            return True
        return part_contains(candidate.tree, candidate.content, self.needle)


def header_contains(header: bytes, needle: Needle) -> bool:
    """Whether the text is in the header, decoded and unfolded."""
    return needle.is_in(decode_words(unfold(header)))


def part_contains(part: Part, content: MessageContent, needle: Needle) -> bool:
    """Whether a text part, or the header of an attached message, has the text in it."""
    for child in part.children:
        if child.octets or child.header_start < child.body_start:
            if part.is_message and header_contains(_header(child, content), needle):
                return True
            if part_contains(child, content, needle):
                return True
    return part.type == b"text" and needle.is_in_pieces(text_of(part, content))


def _header(part: Part, content: MessageContent) -> bytes:
    return content.read(part.header_start, part.body_start - part.header_start)


def text_of(part: Part, content: MessageContent) -> Iterator[str]:
    """The text of a part in pieces."""
    charset = next((value for name, value in part.parameters if name == b"charset"), b"us-ascii")
    octets = decode_transfer(part.encoding, content.chunks(part.body_start, part.octets))
    name = charset.decode("ascii", "replace")
    # Undeclared 8-bit text is mostly UTF-8 nowadays, and ASCII is a part of it.
    return decode_text("utf-8" if name.lower() in ("us-ascii", "ascii") else name, octets)


KEYS: dict[bytes, Parser] = {
    b"BODY": lambda reading: InBody(reading.needle()),
    b"TEXT": lambda reading: InText(reading.needle()),
}
