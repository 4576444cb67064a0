"""A session's snapshot over a table: rows are made when asked for, columns are taken as they are."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from pillarbox.lib.store.index.layout import FLAG_BITS, FRESH, KEYWORD_SHIFT, Damaged
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.interface import NO_KEYWORDS, Counts, Flags, MessageState, Snapshot

Words = Callable[[str], frozenset[str]]
"""The keywords that a string of letters stands for."""


def letters_of(mark: int) -> str:
    """The keyword letters in a mark."""
    bits = mark >> KEYWORD_SHIFT
    return "".join(chr(97 + bit) for bit in range(26) if bits >> bit & 1)


def mark_of(flags: int, letters: str) -> int:
    """The mark for flags and keyword letters."""
    mark = flags & FLAG_BITS
    for letter in letters:
        mark |= 1 << (ord(letter) - 97 + KEYWORD_SHIFT)
    return mark


class Uids(Sequence[int]):
    """The UIDs of a table, as they are when asked for."""

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self._table))
            if step == 1:
                return list(self._table.uids(start, stop))
            return [self._table.uid_at(each) for each in range(start, stop, step)]
        return self._table.uid_at(index if index >= 0 else index + len(self._table))

    def __iter__(self) -> Iterator[int]:
        return iter(self._table.uids())

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, int) and self._table.position(uid) is not None

    def index(self, value: int, start: int = 0, stop: int | None = None) -> int:
        position = self._table.position(value)
        if position is None or position < start or (stop is not None and position >= stop):
            raise ValueError("no such message")
        return position

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class ColumnSnapshot(Snapshot):
    """The messages of `table`."""

    __slots__ = ("_recent", "_words", "table")

    def __init__(self, table: Table, words: Words) -> None:
        self.table = table
        self._words = words
        self._recent: list[list[int]] = []  # ranges of UIDs, ascending, that are recent to this session alone

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> MessageState: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MessageState]: ...
    def __getitem__(self, index: int | slice) -> MessageState | Sequence[MessageState]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self.table))
            if step == 1:
                return list(self._states(start, stop))
            return [self[each] for each in range(start, stop, step)]
        return self.state(self.table.uid_at(index if index >= 0 else index + len(self.table)))

    def __iter__(self) -> Iterator[MessageState]:
        return self._states(0, len(self.table))

    def _states(self, start: int, stop: int) -> Iterator[MessageState]:
        meanings: dict[int, Flags] = {}
        for uid, mark, modseq in zip(
            self.table.uids(start, stop), self.marks(start, stop), self.modseqs(start, stop), strict=True
        ):
            meaning = meanings.get(mark)
            if meaning is None:
                meaning = meanings[mark] = self.meaning(mark)
            yield MessageState(uid, *meaning, modseq)

    def state(self, uid: int) -> MessageState:
        """The row of a message.  Raises IndexError."""
        facts = self.table.facts(uid)
        if facts is None:
            raise IndexError("no such message")
        mark, modseq = facts
        if self._is_recent(uid):
            mark |= FRESH
        return MessageState(uid, *self.meaning(mark), modseq)

    @property
    def uids(self) -> Sequence[int]:
        return Uids(self.table)

    def position(self, uid: int) -> int | None:
        return self.table.position(uid)

    def rank(self, uid: int) -> int:
        return self.table.rank(uid)

    def counts(self) -> Counts:
        state = self.table.state
        return Counts(
            messages=len(self.table),
            recent=self.recent(),
            unseen=state.unseen,
            deleted=state.deleted,
            first_unseen=self.table.first_unseen(),
            size=-1 if state.unsized else state.size,
        )

    def recent(self) -> int:
        return self.table.state.fresh + sum(
            self.table.rank(last + 1) - self.table.rank(first) for first, last in self._recent
        )

    def marks(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        marks: Sequence[int] = self.table.column("marks", start, stop)
        if not self._recent:
            return marks
        changed = array("I", marks)
        for first, last in self._recent:
            low, high = self.table.rank(first) - start, self.table.rank(last + 1) - start
            for position in range(max(0, low), min(high, len(changed))):
                changed[position] |= FRESH
        return changed

    def meaning(self, mark: int) -> Flags:
        keywords = self._words(letters_of(mark)) if mark >> KEYWORD_SHIFT else NO_KEYWORDS
        return Flags(mark & FLAG_BITS, keywords, bool(mark & FRESH))

    def modseqs(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        modseqs: Sequence[int] = self.table.column("modseqs", start, stop)
        return modseqs

    def sizes(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        sizes: Sequence[int] = self._facts("sizes", start, stop)
        return sizes

    def dates(self, start: int = 0, stop: int | None = None) -> Sequence[float]:
        dates: Sequence[float] = self._facts("dates", start, stop)
        return dates

    def _facts(self, name: str, start: int, stop: int | None) -> Any:
        try:
            return self.table.column(name, start, stop)
        except Damaged:
            return [-1] * len(range(*slice(start, stop).indices(len(self.table))))

    # --- recency

    def _is_recent(self, uid: int) -> bool:
        place = bisect_left(self._recent, uid, key=_last)
        return place < len(self._recent) and self._recent[place][0] <= uid

    def make_recent(self, uid: int) -> None:
        """The message, which is in the table, is recent to this session."""
        if self._is_recent(uid):
            return
        place = bisect_left(self._recent, uid, key=_last)
        if place and self.table.rank(uid) == self.table.rank(self._recent[place - 1][1] + 1):
            self._recent[place - 1][1] = uid
        else:
            self._recent.insert(place, [uid, uid])


def _last(span: list[int]) -> int:
    return span[1]
