"""LARGER and SMALLER."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser, number


@dataclass(frozen=True)
class Larger(Key):
    size: int
    cost = 1

    def matches(self, candidate: Candidate) -> bool:
        return candidate.size > self.size


@dataclass(frozen=True)
class Smaller(Key):
    size: int
    cost = 1

    def matches(self, candidate: Candidate) -> bool:
        return candidate.size < self.size


KEYS: dict[bytes, Parser] = {b"LARGER": number(Larger), b"SMALLER": number(Smaller)}
