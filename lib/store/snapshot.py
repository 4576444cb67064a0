"""A snapshot held as a list of rows: for mailboxes of a store that has no columns of its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import overload

from pillarbox.lib.store.interface import DELETED, SEEN, Counts, Flags, MessageState, Snapshot


class ListSnapshot(Snapshot):
    """`rows`, ascending by UID; the mailbox changes them through the methods below."""

    __slots__ = ("_dates", "_marks", "_meanings", "_rows", "_sizes", "_uids")

    def __init__(
        self,
        rows: Iterable[MessageState] = (),
        sizes: dict[int, int] | None = None,
        dates: dict[int, float] | None = None,
    ) -> None:
        """`sizes` and `dates` by UID belong to the mailbox, which keeps them up to date."""
        self._rows = list(rows)
        self._uids = [row.uid for row in self._rows]
        self._sizes = {} if sizes is None else sizes
        self._dates = {} if dates is None else dates
        self._marks: dict[Flags, int] = {}
        self._meanings: dict[int, Flags] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> MessageState: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MessageState]: ...
    def __getitem__(self, index: int | slice) -> MessageState | Sequence[MessageState]:
        return self._rows[index]

    def __iter__(self) -> Iterator[MessageState]:
        return iter(self._rows)

    @property
    def uids(self) -> Sequence[int]:
        return self._uids

    def position(self, uid: int) -> int | None:
        found = bisect_left(self._uids, uid)
        return found if found < len(self._uids) and self._uids[found] == uid else None

    def counts(self) -> Counts:
        unseen = [index for index, row in enumerate(self._rows) if not row.flags & SEEN]
        sizes = self.sizes()
        return Counts(
            messages=len(self._rows),
            recent=sum(row.recent for row in self._rows),
            unseen=len(unseen),
            deleted=sum(bool(row.flags & DELETED) for row in self._rows),
            first_unseen=unseen[0] if unseen else -1,
            size=-1 if -1 in sizes else sum(sizes),
        )

    def marks(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        known = self._marks
        result = []
        for row in self._rows[start:stop]:
            flags = Flags(row.flags, row.keywords, row.recent)
            mark = known.get(flags)
            if mark is None:
                mark = known[flags] = len(known) << 5 | row.flags
                self._meanings[mark] = flags
            result.append(mark)
        return result

    def meaning(self, mark: int) -> Flags:
        return self._meanings[mark]

    def modseqs(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        return [row.modseq for row in self._rows[start:stop]]

    def sizes(self, start: int = 0, stop: int | None = None) -> Sequence[int]:
        known = self._sizes
        return [known.get(uid, -1) for uid in self._uids[start:stop]]

    def dates(self, start: int = 0, stop: int | None = None) -> Sequence[float]:
        known = self._dates
        return [known.get(uid, -1.0) for uid in self._uids[start:stop]]

    # --- for the mailbox that it belongs to

    def replace(self, position: int, row: MessageState) -> None:
        """The same message in another state."""
        self._rows[position] = row

    def extend(self, rows: Sequence[MessageState]) -> None:
        """Messages with higher UIDs."""
        self._rows += rows
        self._uids += [row.uid for row in rows]

    def remove(self, uids: Collection[int]) -> None:
        """Without these messages."""
        self._rows = [row for row in self._rows if row.uid not in uids]
        self._uids = [row.uid for row in self._rows]
