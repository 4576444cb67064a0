"""The messages of a mailbox at one moment: the columns of an index file and what its log changed since.

Rows of the columns that changed, and messages that came, are held one by one: the log is taken into new columns before
they become many.  Nothing here reads the log or knows a file's place.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from pillarbox.lib.store.index.base import Base, Columns
from pillarbox.lib.store.index.layout import CODES, FACT, FLAGS, FRESH, GONE, NEW, Damaged, Frame, Record, Row, State
from pillarbox.lib.store.interface import DELETED, SEEN

_FIELDS: dict[str, Callable[[Row], Any]] = {
    "marks": lambda row: row.mark,
    "modseqs": lambda row: row.modseq,
    "sizes": lambda row: row.size,
    "dates": lambda row: row.date,
}


class Table:
    """`base` with changes."""

    __slots__ = ("_extra", "_gone", "_rows", "base", "state", "vanished")

    def __init__(self, base: Base) -> None:
        self.base = base
        self.state: State = base.header.state
        self.vanished: list[tuple[int, int]] = []
        """UID and modification sequence of what went since the columns were written."""
        self._rows: dict[int, Row] = {}  # by UID: rows that differ from the columns, or are not in them
        self._extra: list[int] = []  # UIDs that are not in the columns, ascending, all above theirs
        self._gone: list[int] = []  # rows of the columns that are no more, ascending

    def clone(self) -> Table:
        """A copy that changes on its own."""
        other = Table.__new__(Table)
        other.base, other.state = self.base, self.state
        other.vanished = self.vanished.copy()
        other._rows, other._extra, other._gone = self._rows.copy(), self._extra.copy(), self._gone.copy()
        return other

    @property
    def kept_apart(self) -> int:
        """How many rows and gaps are held one by one."""
        return len(self._rows) + len(self._gone) + len(self.vanished)

    # --- one message

    def __len__(self) -> int:
        return self.base.count - len(self._gone) + len(self._extra)

    def uid_at(self, position: int) -> int:
        """The UID at `position`.  Raises IndexError."""
        inside = self.base.count - len(self._gone)
        if position < 0:
            raise IndexError("no such message")
        if position >= inside:
            return self._extra[position - inside]
        return self.base.uid(self._place_at(position)) if self._gone else self.base.uid(position)

    def _place_at(self, position: int) -> int:
        """The row of the columns that stands at `position`."""
        gone = self._gone
        low, high = 0, len(gone)
        while low < high:
            middle = (low + high) // 2
            if gone[middle] - middle <= position:
                low = middle + 1
            else:
                high = middle
        return position + low

    def rank(self, uid: int) -> int:
        """How many messages have a lower UID."""
        place = bisect_left(self.base.column("uids"), uid) if self.base.count else 0
        if place == self.base.count:
            return place - len(self._gone) + bisect_left(self._extra, uid)
        return place - bisect_left(self._gone, place)

    def position(self, uid: int) -> int | None:
        """Where the message stands, None for nowhere."""
        rank = self.rank(uid)
        return rank if rank < len(self) and self.uid_at(rank) == uid else None

    def _place(self, uid: int) -> int:
        """The row of the columns, -1 where it is not in them or no more."""
        place = self.base.place(uid) if self.base.count else -1
        return -1 if place >= 0 and self._is_gone(place) else place

    def _is_gone(self, place: int) -> bool:
        if not self._gone:
            return False
        found = bisect_left(self._gone, place)
        return found < len(self._gone) and self._gone[found] == place

    def row(self, uid: int, *, named: bool = True) -> Row | None:
        """All that is known of a message; None where there is none.  `named`: with its name."""
        row = self._rows.get(uid)
        if row is None:
            place = self._place(uid)
            if place < 0:
                return None
            row = self.base.row(place, named=named)
        return row

    def facts(self, uid: int) -> tuple[int, int] | None:
        """Mark and modification sequence: what a row costs without its name."""
        row = self._rows.get(uid)
        if row is not None:
            return row.mark, row.modseq
        place = self._place(uid)
        return (self.base.value("marks", place), self.base.value("modseqs", place)) if place >= 0 else None

    @property
    def last_uid(self) -> int:
        """The highest UID that is there, 0 for none."""
        return self.uid_at(len(self) - 1) if len(self) else 0

    # --- all messages

    def slices(self, start: int, stop: int) -> Iterator[slice]:
        """The rows of the columns that stand at [start, stop), in pieces without gaps."""
        stop = min(stop, self.base.count - len(self._gone))
        if start >= stop:
            return
        if not self._gone:
            yield slice(start, stop)
            return
        place, end = self._place_at(start), self._place_at(stop - 1) + 1
        for gap in self._gone[bisect_right(self._gone, place) :]:
            if gap >= end:
                break
            if place < gap:
                yield slice(place, gap)
            place = gap + 1
        yield slice(place, end)

    def uids(self, start: int = 0, stop: int | None = None) -> memoryview | array[int]:
        """The UIDs at [start, stop)."""
        stop = len(self) if stop is None else min(stop, len(self))
        column = self.base.column("uids") if self.base.count else memoryview(array("I"))
        if not self._gone and stop <= self.base.count:
            return column[start:stop]
        result = array("I")
        for piece in self.slices(start, stop):
            result.frombytes(column[piece].cast("B"))
        inside = self.base.count - len(self._gone)
        if stop > inside:
            result.extend(self._extra[max(0, start - inside) : stop - inside])
        return result

    def column(self, name: str, start: int = 0, stop: int | None = None) -> Any:
        """One of marks, modseqs, sizes, dates at [start, stop)."""
        stop = len(self) if stop is None else min(stop, len(self))
        column = self.base.column(name) if self.base.count else memoryview(array(CODES[name]))
        if not self._gone and not self._rows and stop <= self.base.count:
            return column[start:stop]
        result = array(CODES[name])
        for piece in self.slices(start, stop):
            result.frombytes(column[piece].cast("B"))
        field = _FIELDS[name]
        inside = self.base.count - len(self._gone)
        if stop > inside:
            result.extend(field(self._rows[uid]) for uid in self._extra[max(0, start - inside) : stop - inside])
        first_extra = self._extra[0] if self._extra else 1 << 32
        for uid, row in self._rows.items():
            if uid < first_extra:
                position = self.rank(uid)
                if start <= position < stop:
                    result[position - start] = field(row)
        return result

    def files(self, uids: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
        """Mark, size and name of these messages, ascending; without a name where there is none.  Raises Damaged."""
        base, rows, count = self.base, self._rows, len(uids)
        place = base.place(uids[0]) if base.count and count else -1
        if place >= 0 and base.column("uids")[place : place + count].tolist() == list(
            uids
        ):  # neighbours, as nearly always
            part = slice(place, place + count)
            names = base.names_at(place, place + count)
            for uid, mark, size, name in zip(
                uids, base.column("marks")[part], base.column("sizes")[part], names, strict=True
            ):
                row = rows.get(uid) if rows else None
                yield (mark, size, name) if row is None else (row.mark, row.size, row.name)
            return
        for uid in uids:
            row = self.row(uid)
            yield (0, -1, b"") if row is None else (row.mark, row.size, row.name)

    def names(self) -> Iterator[tuple[int, int, bytes]]:
        """UID, mark and name of every message."""
        if self.base.count:
            names, uids, marks = self.base.names(), self.base.column("uids"), self.base.column("marks")
            rows = self._rows
            for piece in self.slices(0, len(self)):
                for uid, mark, name in zip(uids[piece], marks[piece], names[piece], strict=True):
                    if uid in rows:
                        yield uid, rows[uid].mark, rows[uid].name
                    else:
                        yield uid, mark, name
        for uid in self._extra:
            row = self._rows[uid]
            yield uid, row.mark, row.name

    def name_set(self) -> set[bytes]:
        """The names of all messages."""
        if not self.base.count or self._rows or self._gone:
            return {name for _, _, name in self.names()}
        return set(self.base.names())

    def fresh(self) -> dict[bytes, int]:
        """The messages in new/: name to UID."""
        if not self.state.fresh:
            return {}
        found = {row.name: uid for uid, row in self._rows.items() if row.mark & FRESH}
        if len(found) < self.state.fresh and self.base.count:
            for place, mark in enumerate(self.base.column("marks")):
                if mark & FRESH:
                    uid = self.base.uid(place)
                    if uid not in self._rows and not self._is_gone(place):
                        found[self.base.name(place)] = uid
        return found

    def first_unseen(self) -> int:
        """The position of the first message without Seen, -1 for none."""
        if not self.state.unseen:
            return -1
        changed = min((uid for uid, row in self._rows.items() if not row.mark & SEEN), default=0)
        first = self.base.header.first_unseen
        if first and (not changed or first < changed):
            marks, uids = self.base.column("marks"), self.base.column("uids")
            for place in range(bisect_left(uids, first), self.base.count):
                if changed and uids[place] > changed:
                    break
                if not marks[place] & SEEN and uids[place] not in self._rows and self._place(uids[place]) >= 0:
                    return self.rank(uids[place])
        return self.rank(changed) if changed else -1

    # --- changes

    def apply(self, records: Iterable[Record]) -> None:
        """Take in changes, and count them."""
        for record in records:
            self._apply(record)

    def replay(self, frames: Sequence[Frame]) -> None:
        """Take in frames of the log, all that there are after the columns: each has counted."""
        rows = self._rows
        for record in chain.from_iterable(frame.records for frame in frames):
            if record.kind == FLAGS:
                # By far the most: the record has all of the row, and is of a message that is there.
                rows[record.uid] = Row(record.mark, record.modseq, record.size, record.date, record.name)
            else:
                self._apply(record)
        if frames:
            self.state = frames[-1].state

    def _apply(self, record: Record) -> None:
        kind, uid, mark, modseq, size, date, name = record
        if kind == NEW:
            if uid > self.last_uid:
                row = self._rows[uid] = Row(mark, modseq, size, date, name)
                self._extra.append(uid)
                self._count(row, 1)
            return
        old = self.row(uid, named=kind == FACT)
        if old is None:
            if kind == GONE and modseq:
                self.vanished.append((uid, modseq))  # came and went while nobody wrote it down
            return
        self._count(old, -1)
        if kind == GONE:
            self._rows.pop(uid, None)
            self.vanished.append((uid, modseq))
            place = self.base.place(uid) if self.base.count else -1
            if place >= 0:
                insort(self._gone, place)
            else:
                del self._extra[bisect_left(self._extra, uid)]
            return
        if kind == FLAGS:
            row = Row(mark, modseq, size, date, name)
        elif kind == FACT:
            row = old._replace(size=size, date=date)
        else:
            row = old
        self._rows[uid] = row
        self._count(row, 1)

    def _count(self, row: Row, change: int) -> None:
        state = self.state
        mark, size = row.mark, row.size
        self.state = state._replace(
            messages=state.messages + change,
            unseen=state.unseen + (0 if mark & SEEN else change),
            deleted=state.deleted + (change if mark & DELETED else 0),
            fresh=state.fresh + (change if mark & FRESH else 0),
            size=state.size + (change * size if size > 0 else 0),
            unsized=state.unsized + (change if size < 0 else 0),
        )

    def hide(self, uids: Iterable[int]) -> None:
        """Be without these messages, which a session cannot be shown; they did not vanish."""
        for uid in uids:
            before = len(self.vanished)
            self._apply(Record(GONE, uid))
            del self.vanished[before:]

    def columns(self, most_vanished: int) -> tuple[Columns, int]:
        """Columns with all of it, and the floor of what is known of vanished messages."""
        result = Columns.empty()
        result.uids.extend(self.uids())
        for name, column in (
            ("marks", result.marks),
            ("modseqs", result.modseqs),
            ("sizes", result.sizes),
            ("dates", result.dates),
        ):
            column.frombytes(memoryview(self.column(name)).cast("B"))
        result.names = [name for _, _, name in self.names()]
        floor = self.base.header.floor
        gone = list(zip(self.base.column("gone_uids"), self.base.column("gone_modseqs"), strict=True))
        gone += self.vanished
        if len(gone) > most_vanished:
            gone.sort(key=lambda each: each[1])
            floor = max(floor, gone[-most_vanished - 1][1])
            gone = gone[-most_vanished:]
        result.gone_uids.extend(uid for uid, _ in gone)
        result.gone_modseqs.extend(modseq for _, modseq in gone)
        return result, floor

    def vanished_since(self, modseq: int) -> list[int] | None:
        """UIDs that went after `modseq`, ascending; None where that is not known any more."""
        if modseq < self.base.header.floor:
            return None
        try:
            base = zip(self.base.column("gone_uids"), self.base.column("gone_modseqs"), strict=True)
        except Damaged:
            return None
        found = {uid for uid, when in base if when > modseq}
        found.update(uid for uid, when in self.vanished if when > modseq)
        return sorted(found)
