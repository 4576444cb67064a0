"""Keys about header fields: FROM, TO, CC, BCC, SUBJECT, HEADER.  Encoded words are decoded before they are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from pillarbox.imapd.search.key import Candidate, Key, TextLook, View
from pillarbox.imapd.search.logic import And
from pillarbox.imapd.search.reading import Parser, Reading
from pillarbox.lib.message.encoded_words import decode_words
from pillarbox.lib.store.interface import TEXT_HEADER
from pillarbox.lib.store.text.fold import Needle

FIELDS = (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO")
_HEADER = frozenset((TEXT_HEADER,))


@dataclass(frozen=True)
class InField(Key):
    """Some field of that name has the text in it; an empty text asks for the field only."""

    field: bytes
    needle: Needle
    only: Collection[int] | None = None
    cost = 10

    @property
    def look(self) -> TextLook:
        return TextLook(self.needle.folded, _HEADER)

    def texts(self) -> Iterator[TextLook]:
        yield self.look

    def bind(self, view: View) -> Key:
        return replace(self, only=view.hints.get(self.look))

    def loosened(self) -> Key:
        return And(tuple(replace(self, needle=word) for word in self.needle.words()))

    def matches(self, candidate: Candidate) -> bool:
        if self.only is not None and candidate.index not in self.only:
            return False
        return any(not self.needle or self.needle.is_in(decode_words(value)) for value in candidate.fields(self.field))


def _field(name: bytes) -> Parser:
    return lambda reading: InField(name, reading.needle())


def _header(reading: Reading) -> Key:
    reading.cursor.space()
    return InField(reading.cursor.astring(), reading.needle())


KEYS: dict[bytes, Parser] = {b"HEADER": _header, **{name: _field(name) for name in FIELDS}}
