"""Live results (RFC 5267 section 4.3): what UPDATE asked for, and what the client is told when a result changes.

A context belongs to a selected mailbox.  It hears of messages that went (`removed`, told before EXPUNGE, by the numbers
that still hold then) and looks at those that are new or changed (`changed`).  The clock changes no result.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.sequence import format_set
from pillarbox.imapd.search.key import Candidate, Key, Source, View
from pillarbox.imapd.search.sorting import Criterion, Value, in_order, sort_values
from pillarbox.lib.store.interface import MessageGone

CONTEXTS: Final = 8
"""Contexts of one session."""

RESULTS: Final = 50_000
"""Messages in the result of a context: it is held in memory."""

CHANGES: Final = 1000
"""Messages that are looked at after a change; with more the client does better to search anew."""


@dataclass(slots=True)
class Context:
    """One live result."""

    tag: bytes
    by_uid: bool
    key: Key
    criteria: tuple[Criterion, ...] | None
    uids: list[int]
    """The result: ascending, or in the order of the criteria."""
    values: dict[int, tuple[Value, ...]] = field(default_factory=dict)
    """What those of a SORT are sorted by."""
    modseq: int = 0
    uid_next: int = 0
    """Up to where changes were looked at."""
    fetch: Callable[[Source, int], list[bytes]] | None = None
    """Says of the new message at a position what the client wants to know (RFC 5465 section 7)."""

    def line(self, *items: bytes) -> bytes:
        """An ESEARCH response of this context."""
        uid = (b"UID",) if self.by_uid else ()
        return response.untagged(b"ESEARCH", b"(TAG %b)" % response.string(self.tag), *uid, *items)

    def removed(self, numbers: Mapping[int, int]) -> list[bytes]:
        """Messages go: UIDs and the sequence numbers that they had."""
        gone = [uid for uid in self.uids if uid in numbers]
        return [self._take_out(gone, numbers.__getitem__)] if gone else []

    def _take_out(self, gone: Sequence[int], number: Callable[[int], int]) -> bytes:
        shown = [uid if self.by_uid else number(uid) for uid in gone]
        if self.criteria is None:
            left = set(gone)
            self.uids = [uid for uid in self.uids if uid not in left]
            return self.line(b"REMOVEFROM (0 %b)" % format_set(sorted(shown)))
        pairs = []
        for uid, name in zip(gone, shown, strict=True):
            place = self.uids.index(uid)
            del self.uids[place]
            self.values.pop(uid, None)
            pairs.append(b"%d %d" % (place + 1, name))
        return self.line(b"REMOVEFROM (%b)" % b" ".join(pairs))

    def changed(self, source: Source, saved: Sequence[int]) -> tuple[list[bytes], bool]:
        """Look at what is new or changed since the last time; False where that has become too much."""
        selected = source.mailbox
        mailbox = selected.mailbox
        indexes = list(self._to_look_at(source))
        first_new = self.uid_next
        self.modseq, self.uid_next = mailbox.highest_modseq, mailbox.uid_next
        if len(indexes) > CHANGES:
            return [no_update(self.tag, "Too much has changed.")], False
        bound = self.key.bind(View(selected, saved)) if indexes else self.key
        known = set(self.uids)
        added: list[int] = []
        gone: list[int] = []
        for index in indexes:
            uid = selected.uids[index]
            try:
                candidate = Candidate(source, index, uid)
                if bound.matches(candidate) is not (uid in known):
                    (gone if uid in known else added).append(uid)
                    if self.criteria is not None and uid not in known:
                        self.values[uid] = sort_values(self.criteria, candidate)
            except MessageGone:
                continue
        if len(known) + len(added) > RESULTS:
            return [no_update(self.tag, "The result has become too large.")], False

        def number(uid: int) -> int:
            return bisect_left(selected.uids, uid) + 1

        lines = [self._take_out(gone, number)] if gone else []
        if added:
            if self.fetch is not None:
                for uid in added:
                    lines += self.fetch(source, number(uid) - 1) if uid >= first_new else []
            lines.append(self._put_in(added, number))
        return lines, True

    def _to_look_at(self, source: Source) -> Iterator[int]:
        selected = source.mailbox
        mailbox = selected.mailbox
        if not mailbox.highest_modseq:  # the store does not say what changed
            yield from range(selected.count)
            return
        if (mailbox.highest_modseq, mailbox.uid_next) == (self.modseq, self.uid_next):
            return
        for index, modseq in enumerate(mailbox.messages.modseqs()):
            if modseq > self.modseq:
                yield index

    def _put_in(self, added: Sequence[int], number: Callable[[int], int]) -> bytes:
        shown = {uid: uid if self.by_uid else number(uid) for uid in added}
        if self.criteria is None:
            for uid in added:
                insort(self.uids, uid)
            return self.line(b"ADDTO (0 %b)" % format_set(sorted(shown.values())))
        order = in_order(self.criteria, self.values)
        places = {uid: place for place, uid in enumerate(order)}
        self.uids = order
        pairs = [b"%d %d" % (place + 1, shown[uid]) for place, uid in sorted((places[uid], uid) for uid in added)]
        return self.line(b"ADDTO (%b)" % b" ".join(pairs))


def no_update(tag: bytes, text: str) -> bytes:
    """NOUPDATE (section 4.3.1): the result is not, or no longer, kept up to date."""
    return response.status(b"*", b"NO", text, f"NOUPDATE {response.string(tag).decode('ascii', 'replace')}")
