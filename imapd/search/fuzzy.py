"""FUZZY (RFC 6203): a text is also found where its words stand apart; how well a message fits is its relevancy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pillarbox.imapd.search.key import Candidate, Key, TextLook, View
from pillarbox.imapd.search.reading import Parser, Reading

CLOSE: Final = 50
"""The relevancy of a message that has the words, but not the text as it was given; one that has it is 100."""


@dataclass(frozen=True)
class Fuzzy(Key):
    """The key as it stands, or else its loose form."""

    exact: Key
    loose: Key

    @property
    def cost(self) -> int:  # type: ignore[override]
        return self.exact.cost

    @property
    def asks_modseq(self) -> bool:  # type: ignore[override]
        return self.exact.asks_modseq

    @property
    def numbered(self) -> bool:  # type: ignore[override]
        return self.exact.numbered

    def bind(self, view: View) -> Key:
        return Fuzzy(self.exact.bind(view), self.loose.bind(view))

    def texts(self) -> Iterator[TextLook]:
        yield from self.exact.texts()
        yield from self.loose.texts()

    @property
    def only(self) -> Collection[int] | None:  # type: ignore[override]
        return self.loose.only  # what matches exactly has the words too

    def matches(self, candidate: Candidate) -> bool:
        if self.exact.matches(candidate):
            return True
        if self.loose.matches(candidate):
            candidate.relevancy = min(candidate.relevancy, CLOSE)
            return True
        return False


def _fuzzy(reading: Reading) -> Key:
    reading.cursor.space()
    key = reading.key()
    return Fuzzy(key, key.loosened())


KEYS: dict[bytes, Parser] = {b"FUZZY": _fuzzy}
CAPABILITIES = ("SEARCH=FUZZY",)
