"""Keys about header fields: FROM, TO, CC, BCC, SUBJECT, HEADER.  Encoded words are decoded before they are compared."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser, Reading
from pillarbox.imapd.search.text import Needle
from pillarbox.lib.message.encoded_words import decode_words
from pillarbox.lib.message.header import values

FIELDS = (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO")


@dataclass(frozen=True)
class InField(Key):
    """Some field of that name has the text in it; an empty text asks for the field only."""

    field: bytes
    needle: Needle
    cost = 10

    def matches(self, candidate: Candidate) -> bool:
        return any(not self.needle or self.needle.is_in(decode_words(value)) for value in self._values(candidate))

    def _values(self, candidate: Candidate) -> list[bytes]:
        return list(values(candidate.header, self.field))


def _field(name: bytes) -> Parser:
    return lambda reading: InField(name, reading.needle())


def _header(reading: Reading) -> Key:
    reading.cursor.space()
    return InField(reading.cursor.astring(), reading.needle())


KEYS: dict[bytes, Parser] = {b"HEADER": _header, **{name: _field(name) for name in FIELDS}}
