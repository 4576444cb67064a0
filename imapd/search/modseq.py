"""MODSEQ (RFC 7162 section 3.1.5).  One sequence counts for all of a message; the name of a flag is passed over."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search.key import Candidate, Key, View
from pillarbox.imapd.search.reading import Parser, Reading


@dataclass(frozen=True)
class SinceModseq(Key):
    modseq: int
    asks_modseq = True

    def bind(self, view: View) -> Key:
        if not view.selected.keeps_modseqs:
            raise BadSyntax("the mailbox has no mod-sequences")
        return self

    def matches(self, candidate: Candidate) -> bool:
        return candidate.state.modseq >= self.modseq


def _modseq(reading: Reading) -> Key:
    cursor = reading.cursor
    cursor.space()
    if cursor.peek(b'"'):
        cursor.string()
        cursor.space()
        if cursor.word() not in (b"PRIV", b"SHARED", b"ALL"):
            cursor.fail("priv, shared or all")
        cursor.space()
    return SinceModseq(cursor.number63())


KEYS: dict[bytes, Parser] = {b"MODSEQ": _modseq}
