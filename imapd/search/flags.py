"""Keys about flags: ANSWERED, UNSEEN, KEYWORD, NEW ..."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser, Reading, constant
from pillarbox.lib.store.interface import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN


@dataclass(frozen=True)
class HasFlag(Key):
    flag: int
    wanted: bool = True

    def matches(self, candidate: Candidate) -> bool:
        return bool(candidate.state.flags & self.flag) is self.wanted


@dataclass(frozen=True)
class HasKeyword(Key):
    """Keywords are compared without case (RFC 9051 section 2.3.2)."""

    keyword: str
    wanted: bool = True

    def matches(self, candidate: Candidate) -> bool:
        keywords = candidate.state.keywords
        found = bool(keywords) and self.keyword in {keyword.lower() for keyword in keywords}
        return found is self.wanted


@dataclass(frozen=True)
class IsRecent(Key):
    """RECENT, OLD, and NEW (recent and not seen)."""

    recent: bool = True
    unseen: bool = False

    def matches(self, candidate: Candidate) -> bool:
        if candidate.state.recent is not self.recent:
            return False
        return not (self.unseen and candidate.state.flags & SEEN)


FLAG_KEYS: dict[bytes, Key] = {
    b"ANSWERED": HasFlag(ANSWERED),
    b"DELETED": HasFlag(DELETED),
    b"DRAFT": HasFlag(DRAFT),
    b"FLAGGED": HasFlag(FLAGGED),
    b"SEEN": HasFlag(SEEN),
    b"UNANSWERED": HasFlag(ANSWERED, False),
    b"UNDELETED": HasFlag(DELETED, False),
    b"UNDRAFT": HasFlag(DRAFT, False),
    b"UNFLAGGED": HasFlag(FLAGGED, False),
    b"UNSEEN": HasFlag(SEEN, False),
    b"NEW": IsRecent(True, unseen=True),
    b"OLD": IsRecent(False),
    b"RECENT": IsRecent(True),
}


def _keyword(wanted: bool) -> Parser:
    def parse(reading: Reading) -> Key:
        reading.cursor.space()
        return HasKeyword(reading.cursor.flag().lower(), wanted)

    return parse


KEYS: dict[bytes, Parser] = {
    b"KEYWORD": _keyword(True),
    b"UNKEYWORD": _keyword(False),
    **{name: constant(key) for name, key in FLAG_KEYS.items()},
}
