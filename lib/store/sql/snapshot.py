"""The messages of a mailbox as columns, 32 octets for each: what a session of a large mailbox can afford to hold."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, overload

from pillarbox.lib.store.interface import DELETED, NO_KEYWORDS, SEEN, Counts, Flags, MessageState, Snapshot
from pillarbox.lib.store.sql.columns import Columns

MICROSECONDS: Final = 1_000_000


_FLAGS: Final = 5
"""Bits of a mark that are its flags."""
_MEANINGS: Final = 4096
"""Different sets of flags that are remembered beside those that some message has."""


class Message(NamedTuple):
    """A row of the table."""

    uid: int
    flags: int
    keywords: str
    modseq: int
    size: int
    arrived: int
    """Microseconds since the epoch."""


class ColumnSnapshot(Snapshot):
    """Filled by `extend`; the mailbox keeps it."""

    __slots__ = ("_arrived", "_known", "_marks", "_meanings", "_modseqs", "_next", "_sizes", "_uids")

    def __init__(self) -> None:
        self._uids = array("I")
        self._marks = array("I")
        self._modseqs = array("q")
        self._sizes = array("q")
        self._arrived = array("q")
        self._known: dict[tuple[int, str, bool], int] = {}
        self._next = 0  # of the marks
        self._meanings: dict[int, Flags] = {}

    # --- Sequence
    def __len__(self) -> int:
        return len(self._uids)

    @overload
    def __getitem__(self, index: int) -> MessageState: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MessageState]: ...
    def __getitem__(self, index: int | slice) -> MessageState | Sequence[MessageState]:
        if isinstance(index, slice):
            return [self._state(each) for each in range(*index.indices(len(self._uids)))]
        return self._state(index)

    def __iter__(self) -> Iterator[MessageState]:
        return map(self._state, range(len(self._uids)))

    def _state(self, index: int) -> MessageState:
        flags, keywords, recent = self._meanings[self._marks[index]]
        return MessageState(self._uids[index], flags, keywords, recent, self._modseqs[index])

    # --- Snapshot
    @property
    def uids(self) -> Sequence[int]:
        return self._uids

    def position(self, uid: int) -> int | None:
        found = bisect_left(self._uids, uid)
        return found if found < len(self._uids) and self._uids[found] == uid else None

    def counts(self) -> Counts:
        totals = Counter(self._marks)
        first_unseen = -1
        if any(not mark & SEEN for mark in totals):
            first_unseen = next(index for index, mark in enumerate(self._marks) if not mark & SEEN)
        return Counts(
            messages=len(self._uids),
            recent=sum(count for mark, count in totals.items() if self._meanings[mark].recent),
            unseen=sum(count for mark, count in totals.items() if not mark & SEEN),
            deleted=sum(count for mark, count in totals.items() if mark & DELETED),
            first_unseen=first_unseen,
            size=sum(self._sizes),
        )

    def recent(self) -> int:
        wanted = {mark for mark, meaning in self._meanings.items() if meaning.recent}
        return sum(mark in wanted for mark in self._marks) if wanted else 0

    def marks(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        return self._marks[start:stop]

    def meaning(self, mark: int) -> Flags:
        return self._meanings[mark]

    def modseqs(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        return self._modseqs[start:stop]

    def sizes(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        return self._sizes[start:stop]

    def dates(self, start: int = 0, stop: int | None = None) -> Sequence[float]:
        return [each / MICROSECONDS for each in self._arrived[start:stop]]

    # --- for the mailbox
    def size(self, position: int) -> int:
        """Octets on the wire."""
        return self._sizes[position]

    def date(self, position: int) -> float:
        """INTERNALDATE."""
        return self._arrived[position] / MICROSECONDS

    def _mark(self, flags: int, keywords: str, recent: bool) -> int:
        key = (flags, keywords, recent)
        mark = self._known.get(key)
        if mark is None:
            mark = self._known[key] = self._next << _FLAGS | flags
            self._next += 1
            self._meanings[mark] = Flags(flags, frozenset(keywords.split()) if keywords else NO_KEYWORDS, recent)
        return mark

    def restore(self, columns: Columns, meanings: dict[int, str], recent_from: int) -> None:
        """All messages, as `kept` gave them; those from `recent_from` on are recent."""
        self._uids, self._marks, self._modseqs, self._sizes, self._arrived = columns
        flags = (1 << _FLAGS) - 1
        self._known = {(mark & flags, words, False): mark for mark, words in meanings.items()}
        self._next = 1 + max((mark >> _FLAGS for mark in meanings), default=-1)
        self._meanings = {
            mark: Flags(mark & flags, frozenset(words.split()) if words else NO_KEYWORDS, False)
            for mark, words in meanings.items()
        }
        for position in range(bisect_left(self._uids, recent_from), len(self._uids)):
            mark = self._marks[position]
            self._marks[position] = self._mark(mark & flags, meanings[mark], True)

    def kept(self) -> tuple[Columns, dict[int, str]]:
        """The columns, and the keywords of each mark in them, without what is this view's own: which are recent."""
        words = {mark: (flags, text, recent) for (flags, text, recent), mark in self._known.items()}
        used = set(self._marks)
        plain = {mark: self._mark(words[mark][0], words[mark][1], False) for mark in used}
        marks = self._marks
        if any(mark != each for mark, each in plain.items()):
            marks = array("I", map(plain.__getitem__, marks))
        meanings = {plain[mark]: words[mark][1] for mark in used}
        return (self._uids, marks, self._modseqs, self._sizes, self._arrived), meanings

    def extend_columns(
        self,
        uids: Iterable[int],
        flags: Iterable[int],
        keywords: Iterable[str],
        modseqs: Iterable[int],
        sizes: Iterable[int],
        arrived: Iterable[int],
        recent_from: int,
    ) -> None:
        """Messages with higher UIDs than all so far; those from `recent_from` on are recent."""
        start = len(self._uids)
        self._uids.extend(uids)
        self._modseqs.extend(modseqs)
        self._sizes.extend(sizes)
        self._arrived.extend(arrived)
        border = bisect_left(self._uids, recent_from)
        known, mark = self._known, self._mark
        for position, (bits, words) in enumerate(zip(flags, keywords, strict=True), start):
            recent = position >= border
            found = known.get((bits, words, recent))
            self._marks.append(mark(bits, words, recent) if found is None else found)

    def extend(self, messages: Sequence[Message], recent_from: int) -> None:
        """The same for rows."""
        if messages:
            uids, flags, keywords, modseqs, sizes, arrived = zip(*messages, strict=True)
            self.extend_columns(uids, flags, keywords, modseqs, sizes, arrived, recent_from)

    def change(self, position: int, flags: int, keywords: str, modseq: int) -> bool:
        """The flags of a message as they are now; whether they differ from before."""
        if len(self._known) > _MEANINGS + len(self._uids):
            self._forget_unused()
        before = self._marks[position]
        after = self._mark(flags, keywords, self._meanings[before].recent)
        self._marks[position] = after
        self._modseqs[position] = modseq
        return before != after

    def _forget_unused(self) -> None:
        meanings = [self._meanings[mark] for mark in self._marks]
        self._known, self._meanings, self._next = {}, {}, 0
        self._marks = array("I", (self._mark(a, " ".join(sorted(b)), c) for a, b, c in meanings))

    def remove(self, uids: Collection[int]) -> None:
        """Without these messages."""
        positions = sorted(found for uid in uids if (found := self.position(uid)) is not None)
        if not positions:
            return
        for name in ("_uids", "_marks", "_modseqs", "_sizes", "_arrived"):
            column = getattr(self, name)
            kept = column[:0]
            start = 0
            for position in positions:
                kept.extend(column[start:position])
                start = position + 1
            kept.extend(column[start:])
            setattr(self, name, kept)
