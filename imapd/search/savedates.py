"""Keys about the day on which a message came into this mailbox (RFC 8514 section 4.3).

A message of which that is not known is taken as saved when it arrived, as section 4.3 has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pillarbox.imapd.protocol.dates import local_day, parse_day
from pillarbox.imapd.search.dates import COMPARISONS, Comparison
from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser, Reading, constant


@dataclass(frozen=True)
class SavedDay(Key):
    compare: Comparison
    day: date
    cost = 1

    def matches(self, candidate: Candidate) -> bool:
        saved = candidate.store_mailbox.save_date(candidate.uid)
        return self.compare(candidate.internal_day if saved is None else local_day(saved), self.day)


@dataclass(frozen=True)
class SaveDateKnown(Key):
    """SAVEDATESUPPORTED: all messages of a mailbox that keeps these dates, or none."""

    cost = 1

    def matches(self, candidate: Candidate) -> bool:
        return candidate.store_mailbox.save_date(candidate.uid) is not None


def _saved_day(name: bytes) -> Parser:
    def parse(reading: Reading) -> Key:
        reading.cursor.space()
        return SavedDay(COMPARISONS[name], parse_day(reading.cursor))

    return parse


KEYS: dict[bytes, Parser] = {
    **{b"SAVED" + name: _saved_day(name) for name in COMPARISONS},
    b"SAVEDATESUPPORTED": constant(SaveDateKnown()),
}
