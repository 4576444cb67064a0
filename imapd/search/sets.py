"""Keys that name messages: a sequence set, and UID with a set.  Numbers that no message has match nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import SAVED_RESULT, STAR, SequenceSet
from pillarbox.imapd.search.key import Candidate, Key, View
from pillarbox.imapd.search.reading import Parser, Reading


@dataclass(frozen=True)
class Named(Key):
    """The messages at these positions."""

    only: Collection[int]
    cost = -1

    def matches(self, candidate: Candidate) -> bool:
        return candidate.index in self.only


@dataclass(frozen=True)
class InSet(Key):
    """As written; what it names is known once it is bound to a mailbox."""

    numbers: SequenceSet
    by_uid: bool

    @property
    def numbered(self) -> bool:  # type: ignore[override]
        return not self.by_uid or self.numbers == SAVED_RESULT

    def bind(self, view: View) -> Key:
        selected = view.selected
        if self.numbers == SAVED_RESULT:
            places = map(selected.index, view.saved)
            return Named(frozenset(place for place in places if place is not None))
        if not self.by_uid and selected.by_uid_only:
            raise BadSyntax("UID before the set expected once UIDONLY is enabled", "UIDREQUIRED")
        if self.by_uid:
            return Named(frozenset(selected.named(self.numbers)))
        return Named(frozenset(number - 1 for number in self.numbers.within(selected.count)))

    def matches(self, candidate: Candidate) -> bool:
        raise AssertionError("bind comes first")


def _uid(reading: Reading) -> Key:
    reading.cursor.space()
    return InSet(reading.cursor.message_set(), by_uid=True)


def _after(reading: Reading) -> Key:
    """UIDAFTER (RFC 9738 section 3.2): unlike UID n:*, it matches nothing where there is nothing above."""
    reading.cursor.space()
    uid = reading.cursor.nz_number()
    return InSet(SequenceSet((((uid + 1, STAR - 1) if uid < STAR - 1 else (0, 0)),)), by_uid=True)


def _before(reading: Reading) -> Key:
    """UIDBEFORE (RFC 9738 section 3.2); nothing is before 1."""
    reading.cursor.space()
    uid = reading.cursor.nz_number()
    return InSet(SequenceSet(((0, uid - 1),)), by_uid=True)


KEYS: dict[bytes, Parser] = {
    b"": lambda reading: InSet(reading.cursor.message_set(), by_uid=False),
    b"UID": _uid,
    b"UIDAFTER": _after,
    b"UIDBEFORE": _before,
}
