"""Keys about dates: BEFORE, ON, SINCE of INTERNALDATE, SENT... of the Date: field, OLDER and YOUNGER (RFC 5032)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from operator import eq, ge, lt

from pillarbox.imapd.protocol.dates import parse_day
from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser, Reading, number

Comparison = Callable[[date, date], bool]
COMPARISONS: dict[bytes, Comparison] = {b"BEFORE": lt, b"ON": eq, b"SINCE": ge}


@dataclass(frozen=True)
class InternalDay(Key):
    compare: Comparison
    day: date
    cost = 1

    def matches(self, candidate: Candidate) -> bool:
        return self.compare(candidate.internal_day, self.day)


@dataclass(frozen=True)
class SentDay(Key):
    compare: Comparison
    day: date
    cost = 10

    def matches(self, candidate: Candidate) -> bool:
        return self.compare(candidate.sent_day, self.day)


@dataclass(frozen=True)
class Within(Key):
    """OLDER or YOUNGER than so many seconds."""

    seconds: int
    younger: bool
    clock: Callable[[], float] = time.time
    cost = 1

    def matches(self, candidate: Candidate) -> bool:
        age = self.clock() - candidate.internal_date
        return age <= self.seconds if self.younger else age >= self.seconds


def _internal_day(name: bytes) -> Parser:
    def parse(reading: Reading) -> Key:
        reading.cursor.space()
        return InternalDay(COMPARISONS[name], parse_day(reading.cursor))

    return parse


def _sent_day(name: bytes) -> Parser:
    def parse(reading: Reading) -> Key:
        reading.cursor.space()
        return SentDay(COMPARISONS[name], parse_day(reading.cursor))

    return parse


CAPABILITIES = ("WITHIN",)
KEYS: dict[bytes, Parser] = {
    b"OLDER": number(lambda seconds: Within(seconds, younger=False)),
    b"YOUNGER": number(lambda seconds: Within(seconds, younger=True)),
    **{name: _internal_day(name) for name in COMPARISONS},
    **{b"SENT" + name: _sent_day(name) for name in COMPARISONS},
}
