"""QRESYNC (RFC 7162 section 3.2): a client that comes back learns in one step what changed while it was away."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.commands.condstore import ChangedSince
from pillarbox.imapd.commands.options import FetchModifier, SelectParameter
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import SequenceSet, format_ranges
from pillarbox.imapd.search.run import STEP, aside
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import Since

Range = tuple[int, int]
EVERYTHING = SequenceSet(((1, 2**32 - 1),))
NOTHING = SequenceSet(())


def must_be_enabled(session: Session) -> None:
    """Raise BadSyntax where the client has not enabled QRESYNC (section 3.2.3)."""
    if b"QRESYNC" not in session.enabled:
        raise BadSyntax("QRESYNC is not enabled")


def vanished_line(session: Session, modseq: int, uids: SequenceSet, known: int = 0) -> bytes:
    """VANISHED (EARLIER): what of `uids` above `known` went after `modseq`; empty for nothing (section 3.2.10.1)."""
    return _vanished_line(session, session.mailbox.mailbox.changed_since(modseq), uids, known)


def _vanished_line(session: Session, since: Since, uids: SequenceSet, known: int = 0) -> bytes:
    wanted = uids.resolved(session.mailbox.mailbox.uid_next - 1)
    gone = list(_common(((max(low, known + 1), high) for low, high in since.vanished), wanted))
    return response.untagged(b"VANISHED (EARLIER)", format_ranges(gone)) if gone else b""


def _common(ranges: Iterable[Range], wanted: Sequence[Range]) -> Iterator[Range]:
    """The parts of `ranges` that are in `wanted`; both ascending."""
    place = 0
    for low, high in ranges:
        while place < len(wanted) and wanted[place][1] < low:
            place += 1
        for first, last in wanted[place:]:
            if first > high:
                break
            if max(low, first) <= min(high, last):
                yield max(low, first), min(high, last)


@dataclass(frozen=True, slots=True)
class Resync(SelectParameter):
    """Section 3.2.5."""

    uid_validity: int
    modseq: int
    uids: SequenceSet = EVERYTHING
    numbers: SequenceSet = NOTHING
    """Sequence numbers that the client knows, and in `number_uids` their UIDs, one for each (section 3.2.5.2)."""
    number_uids: SequenceSet = NOTHING

    def before(self, session: Session) -> None:
        must_be_enabled(session)
        if self.numbers.ranges and b"UIDONLY" in session.enabled:
            raise BadSyntax("message numbers are not used once UIDONLY is enabled", "UIDREQUIRED")

    async def opened(self, session: Session) -> None:
        selected = session.mailbox
        if not selected.keeps_modseqs or self.uid_validity != selected.mailbox.uid_validity:
            return
        since = await aside(selected.count, partial(selected.mailbox.changed_since, self.modseq))
        session.send(_vanished_line(session, since, self.uids, self._known(selected.uids)))
        wanted = self.uids.resolved(selected.mailbox.uid_next - 1)
        starts = [low for low, _ in wanted]
        for step, state in enumerate(since.changed):
            if not step % STEP:
                await session.breathe()
            place = bisect_right(starts, state.uid) - 1
            index = selected.index(state.uid)
            if place >= 0 and state.uid <= wanted[place][1] and index is not None:
                session.send(selected.flags_line(index, state, with_uid=True))

    def _known(self, uids: Sequence[int]) -> int:
        """The highest UID up to which the client knows of all expunges, by its sample of numbers."""
        known = 0
        for number, uid in zip(self.numbers.each(), self.number_uids.each(), strict=False):
            if number > len(uids) or uids[number - 1] != uid:
                break
            known = uid
        return known


def parse_resync(cursor: Cursor) -> Resync:
    """ "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"."""
    cursor.space()
    cursor.expect(b"(")
    uid_validity = cursor.nz_number()
    cursor.space()
    modseq = cursor.number63()
    uids, numbers, number_uids = EVERYTHING, NOTHING, NOTHING
    if cursor.peek(b" ") and not cursor.peek(b" ("):
        cursor.space()
        uids = cursor.sequence_set()
    if cursor.accept(b" ("):
        numbers = cursor.sequence_set()
        cursor.space()
        number_uids = cursor.sequence_set()
        cursor.expect(b")")
    cursor.expect(b")")
    if any(each.has_star for each in (uids, numbers, number_uids)):
        raise BadSyntax("numbers, not *, expected for QRESYNC")
    return Resync(uid_validity, modseq, uids, numbers, number_uids)


class Vanished(FetchModifier):
    """Section 3.2.6."""

    def __init__(self) -> None:
        self._uids = NOTHING
        self._modseq = 0

    def check(self, syntax: Syntax, numbers: SequenceSet, modifiers: Mapping[bytes, FetchModifier]) -> None:
        since = modifiers.get(b"CHANGEDSINCE")
        if not syntax.by_uid or not isinstance(since, ChangedSince):
            raise BadSyntax("VANISHED is for UID FETCH with CHANGEDSINCE")
        self._uids, self._modseq = numbers, since.modseq

    def narrow(self, session: Session, indexes: Sequence[int], lowest: int) -> Sequence[int]:
        must_be_enabled(session)
        session.send(vanished_line(session, self._modseq, self._uids, lowest - 1))
        return indexes


CAPABILITIES = ("QRESYNC",)
SELECT_PARAMETERS: dict[bytes, Callable[[Cursor], SelectParameter]] = {b"QRESYNC": parse_resync}
FETCH_MODIFIERS: dict[bytes, Callable[[Cursor], FetchModifier]] = {b"VANISHED": lambda cursor: Vanished()}
ENABLES: dict[bytes, Callable[[Session], None]] = {b"QRESYNC": lambda session: None}
