"""BODY and TEXT: the text parts, decoded, and for TEXT the header too.  The message passes through in pieces.

Where the index (`lib.store.text`) knows the messages that can match, only those are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from pillarbox.imapd.search.key import Candidate, Key, TextLook, View
from pillarbox.imapd.search.logic import And
from pillarbox.imapd.search.reading import Parser
from pillarbox.lib.store.interface import TEXT_BODY, TEXT_HEADER
from pillarbox.lib.store.text.fold import Needle
from pillarbox.lib.store.text.parts import header_text, part_contains

_BODY = frozenset((TEXT_BODY,))
_TEXT = frozenset((TEXT_BODY, TEXT_HEADER))


@dataclass(frozen=True)
class InText(Key):
    """TEXT, or BODY where `header` is false."""

    needle: Needle
    header: bool = True
    only: Collection[int] | None = None
    cost = 100

    @property
    def look(self) -> TextLook:
        return TextLook(self.needle.folded, _TEXT if self.header else _BODY)

    def texts(self) -> Iterator[TextLook]:
        yield self.look

    def bind(self, view: View) -> Key:
        return replace(self, only=view.hints.get(self.look))

    def loosened(self) -> Key:
        return And(tuple(replace(self, needle=word) for word in self.needle.words()))

    def matches(self, candidate: Candidate) -> bool:
        if self.only is not None and candidate.index not in self.only:
            return False
        if self.header and self.needle.is_in(header_text(candidate.header)):
            return True
        return part_contains(candidate.tree, candidate.content, self.needle)


KEYS: dict[bytes, Parser] = {
    b"BODY": lambda reading: InText(reading.needle(), header=False),
    b"TEXT": lambda reading: InText(reading.needle()),
}
