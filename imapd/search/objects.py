"""EMAILID and THREADID (RFC 8474 section 6): messages with the same content, and of the same conversation."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.fetch.object_ids import lone_thread_id, thread_id
from pillarbox.imapd.search.key import Candidate, Key
from pillarbox.imapd.search.reading import Parser, Reading


@dataclass(frozen=True)
class HasEmailId(Key):
    identifier: str
    cost = 100

    def matches(self, candidate: Candidate) -> bool:
        return candidate.store_mailbox.email_id(candidate.uid) == self.identifier


@dataclass(frozen=True)
class HasThreadId(Key):
    identifier: str
    cost = 10

    def matches(self, candidate: Candidate) -> bool:
        found = thread_id(*map(candidate.field, (b"References", b"In-Reply-To", b"Message-ID")))
        if found is None and self.identifier.startswith("T"):
            found = lone_thread_id(candidate.store_mailbox.email_id(candidate.uid))
        return found == self.identifier


def _identifier(reading: Reading) -> str:
    reading.cursor.space()
    return reading.cursor.astring().decode("ascii", "replace")


KEYS: dict[bytes, Parser] = {
    b"EMAILID": lambda reading: HasEmailId(_identifier(reading)),
    b"THREADID": lambda reading: HasThreadId(_identifier(reading)),
}
