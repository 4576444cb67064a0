"""Keys about dates: BEFORE, ON, SINCE of INTERNALDATE, SENT... of the Date: field, OLDER and YOUNGER (RFC 5032)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from operator import eq, ge, lt

from pillarbox.imapd.search.key import Candidate, Key

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
