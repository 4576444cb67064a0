"""Bringing the index in line with a Maildir's directories after another program changed them.

The directories are the truth: the file names carry the flags, and a file is known by its base name.  What differs from
the index is written to its log, so that one session looks for all.  Only new/ is listed where only that changed.
A message that is missing is looked for a second time before it counts as gone.  UIDs come from the UID list, whose
lock is taken after the index's and never the other way round.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Final

from pillarbox.lib.store.index.base import Columns
from pillarbox.lib.store.index.columns import mark_of
from pillarbox.lib.store.index.layout import FLAGS, FRESH, GONE, NEW, Damaged, Record, Row, State
from pillarbox.lib.store.index.live import Live, next_modseq
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.interface import MailboxNotFound, StoreError, StoreUnavailable
from pillarbox.lib.store.maildir.filename import INFO, arrival_key, parse_info, sizes
from pillarbox.lib.store.maildir.modseq import ahead
from pillarbox.lib.store.maildir.scan import Directories, Stamps, due_after_change, due_after_look, is_due
from pillarbox.lib.store.maildir.state import UidState, has_many_vanished
from pillarbox.lib.store.maildir.uidlist import UidList

_BYTES_INFO: Final = INFO.encode("ascii")
_MOST_DATES: Final = 10_000
"""So many files are asked for their date at once when they are found; of more, when somebody wants to know."""
_MOST_MISSING: Final = 10_000
"""So many UIDs without a message are noted at once; more than that come of another server's list."""
_AFTER_CHANGE: Final = 1_000_000
"""Microseconds after a change of a directory within which it has got its modification sequence."""
_NOT_OURS: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


def base_of(name: bytes) -> bytes:
    """What identifies the message for life."""
    return name.partition(b":")[0]


def mark_of_name(name: bytes) -> int:
    """The mark that a file name in cur/ says."""
    info = name.partition(_BYTES_INFO)[2]
    if not info:
        return 0
    flags, letters, _ = parse_info(os.fsdecode(info))
    return mark_of(flags, letters)


def is_stale(state: State, stamps: Stamps) -> bool:
    """Whether the directories, which have these stamps now, must be looked at."""
    return stamps != (state.new_stamp, state.cur_stamp) or is_due(state.new_due) or is_due(state.cur_due)


class Synchronizer:
    """Looks for the view of `live`.  Every call raises MailboxNotFound, MailboxBusy, StoreUnavailable."""

    def __init__(self, directory: str, live: Live, uids: UidState, take_in: bool) -> None:
        """`take_in`: move messages from new/ to cur/, where other sessions do not see them as recent."""
        self.directories = Directories(directory)
        self._live = live
        self._uids = uids
        self._take_in_wanted = take_in
        self.taken: set[int] = set()
        """UIDs of messages that were taken in; whoever tells of them clears it."""

    def needed(self) -> bool:
        """Whether the directories, or the time, say that there may be something new."""
        stamps = self.directories.stamps()
        latest = self._live.latest
        return latest is None or is_stale(latest.state, stamps) or (self._take_in_wanted and latest.state.fresh > 0)

    def run(self, everything: bool = False) -> None:
        """Look, and note in the index what is found.  `everything`: look at cur/ in any case."""
        live = self._live
        with live.locked():
            if not everything and not self.needed():
                return
            self._uids.load()
            known = self._uids.list
            latest = live.latest
            if latest is None or known is None or not self._belongs(latest, known):
                self._start_anew()
            else:
                try:
                    self._look(latest, everything)
                except Damaged:
                    live.lose()
                    self._start_anew()
            self._forget_vanished()

    def _belongs(self, latest: Table, known: UidList) -> bool:
        """Whether the index is that of this UID list."""
        header = latest.base.header
        if known.uid_validity != header.uid_validity or known.guid.encode("ascii", "replace")[:32] != header.guid:
            return False
        if self._uids.inode == latest.state.list_inode:
            return True
        # Another file than the one that it was made from: every message must have the same number in it.
        self._uids.load_all()
        whole = self._uids.list
        try:
            return whole is not None and all(
                whole.uids.get(os.fsdecode(base_of(name))) == uid for uid, _, name in latest.names()
            )
        except Damaged:
            return False

    # --- the whole mailbox

    def _start_anew(self) -> None:
        if os.access(self._uids.directory, os.W_OK) or not os.path.isdir(self._uids.directory):
            with self._uids.locked(everything=True) as names:
                self._build(names)
            return
        self._uids.load_all()
        if self._uids.list is None:
            raise StoreUnavailable("the mailbox has no UIDs and cannot be written")
        try:
            self._build(self._uids.list)
        except OSError as error:
            raise StoreUnavailable(f"messages without a UID, and the mailbox cannot be written: {error}") from error

    def _build(self, names: UidList) -> None:
        told = self._live.told
        if told is not None and told.base.header.uid_validity != names.uid_validity:
            told = None
        before = self.directories.stamps()
        fresh, present = self.directories.list_quietly()
        moved = self._take_in(fresh)
        places = {base_of(name): (FRESH, name) for name in fresh if name not in moved}
        places.update((base_of(name), (0, name)) for name in present)
        places.update((base_of(name), (0, name)) for name in moved.values())
        by_text = {os.fsdecode(base): place for base, place in places.items()}
        # What was told to be gone, and is back, is a new message (RFC 9051 section 2.3.1.1).
        next_uid = told.state.uid_next if told is not None else 1
        back = {
            base
            for base in by_text
            if told is not None and (uid := names.uids.get(base, next_uid)) < next_uid and told.position(uid) is None
        }
        unknown = sorted((base for base in by_text if base not in names.uids or base in back), key=arrival_key)
        if unknown:
            self._uids.assign(names, unknown)
        # The clock may have been set back since an index that is no more told of the last changes.
        modseq = next_modseq(
            max(
                told.state.modseq if told is not None else 0,
                max(before) // 1000 + _AFTER_CHANGE + ahead(self._uids.directory),
            )
        )
        with_dates = len(by_text) <= _MOST_DATES
        rows = []
        for uid, base in sorted((names.uids[base], base) for base in by_text):
            bit, name = by_text[base]
            size, date = self._facts(bit, name, names.extensions.get(uid, ""), with_dates)
            rows.append((uid, Row(mark_of_name(name) | bit, modseq, size, date, name)))
        state = self._stamped(State(modseq=modseq), before, self.directories.stamps() if moved else before, True)
        if moved:
            state = _changed_by_us(state, len(rows))
        state = self._with_list(state, names)
        state = state._replace(uidls=sum(1 for words in names.extensions.values() if " P" in f" {words}"))
        self._live.start_anew(
            Columns.of(rows),
            state,
            uid_validity=names.uid_validity,
            guid=names.guid.encode("ascii", "replace")[:32],
        )
        self.taken.update(names.uids[os.fsdecode(base_of(name))] for name in moved.values())

    # --- what changed

    def _look(self, latest: Table, everything: bool) -> None:
        state = latest.state
        before = self.directories.stamps()
        look_cur = everything or before.cur != state.cur_stamp or is_due(state.cur_due)
        if not look_cur:
            fresh = self.directories.list_new()
            known_fresh = latest.fresh()
            if known_fresh.keys() <= fresh:
                moved = self._take_in(fresh)
                added = [(0, name) for name in moved.values()]
                added += [(FRESH, name) for name in fresh if name not in moved and name not in known_fresh]
                removed = {base_of(name): uid for name, uid in known_fresh.items() if name in moved}
                bases: set[bytes] | None = set()
            else:
                look_cur = True
        if look_cur:
            fresh, present = self.directories.list_both()
            moved = self._take_in(fresh)
            added, removed, bases = self._differences(latest, fresh, present, moved)
        records = self._renamed(latest, added, removed)
        unknown = [(bit, name) for bit, name in added if base_of(name) not in removed]
        matched = {base_of(name) for _, name in added}
        for base, uid in removed.items():
            if base not in matched:
                records.append(Record(GONE, uid))
        if unknown and bases is None:
            bases = {base_of(name) for _, _, name in latest.names()} - removed.keys()
        if bases:
            unknown = [(bit, name) for bit, name in unknown if base_of(name) not in bases]
        state = self._stamped(state, before, self.directories.stamps() if moved else before, look_cur)
        if moved:
            state = _changed_by_us(state, len(latest))
        modseq = next_modseq(latest.state.modseq)
        if unknown or (self._uids.list is not None and self._uids.list.next_uid > state.uid_next):
            arrived, state = self._arrived(latest, unknown, state, modseq)
            taken = set(moved.values())
            self.taken.update(record.uid for record in arrived if record.name in taken)
            records += arrived
        elif self._uids.list is not None and self._uids.inode != state.list_inode:
            state = self._with_list(state, self._uids.list)
        changed = False
        for place, record in enumerate(records):
            if record.modseq == 0:
                records[place] = record._replace(modseq=modseq)
                changed = True
        if changed or state.uid_next > latest.state.uid_next:
            state = state._replace(modseq=modseq)
        if records or state != latest.state:
            self._live.commit(records, state)

    def _differences(
        self, latest: Table, fresh: set[bytes], present: set[bytes], moved: dict[bytes, bytes]
    ) -> tuple[list[tuple[int, bytes]], dict[bytes, int], set[bytes] | None]:
        """What is there and not in the index; base names and UIDs of what is in the index and not there."""
        known_fresh = latest.fresh()
        now_fresh = fresh.difference(moved)
        known = latest.name_set()
        if known_fresh:
            known.difference_update(known_fresh)
        present.update(moved.values())
        added = {base_of(name): (FRESH, name) for name in now_fresh.difference(known_fresh)}
        removed = {base_of(name): uid for name, uid in known_fresh.items() if name not in now_fresh}
        if known != present:
            added.update((base_of(name), (0, name)) for name in present.difference(known))
            missing = known.difference(present)
            removed.update(
                (base_of(name), uid) for uid, mark, name in latest.names() if name in missing and not mark & FRESH
            )
        if removed.keys() - added.keys():
            # Perhaps being renamed while we looked: once more, when it is quiet.
            again_fresh, again = self.directories.list_quietly()
            for bit, names in ((FRESH, again_fresh), (0, again)):
                for name in names:
                    base = base_of(name)
                    if base in removed:
                        added[base] = (bit, name)
        return list(added.values()), removed, None if added.keys() - removed.keys() else set()

    def _renamed(self, latest: Table, added: list[tuple[int, bytes]], removed: dict[bytes, int]) -> list[Record]:
        """Changes of messages that have another name now; a modification sequence of 0 is for the caller to give."""
        records = []
        for bit, name in added:
            uid = removed.get(base_of(name))
            row = latest.row(uid) if uid is not None else None
            if uid is None or row is None:
                continue
            mark = mark_of_name(name) | bit
            if mark == row.mark and name == row.name:
                continue
            same = (mark ^ row.mark) & ~FRESH == 0
            records.append(Record(FLAGS, uid, mark, row.modseq if same else 0, row.size, row.date, name))
            if row.mark & FRESH and not bit and self._take_in_wanted:
                self.taken.add(uid)
        return records

    def _arrived(
        self, latest: Table, unknown: list[tuple[int, bytes]], state: State, modseq: int
    ) -> tuple[list[Record], State]:
        """Number messages that the index does not have."""
        by_text = {os.fsdecode(base_of(name)): (bit, name) for bit, name in unknown}
        with self._uids.locked() as names:
            names.next_uid = max(names.next_uid, state.uid_next)
            # Numbers that others have given and the index does not know yet; what had a lower one comes back, and is
            # a new message (RFC 9051 section 2.3.1.1).
            given = {base: uid for base, uid in names.uids.items() if uid >= state.uid_next}
            came = self._see_also(by_text, given) if any(base not in by_text for base in given) else set()
            new = sorted((base for base in by_text if base not in given), key=arrival_key)
            if new:
                given.update(zip(new, self._uids.assign(names, new), strict=True))
            first = state.uid_next
            state = self._with_list(state, names)
        # Numbers without a message: it is gone again, and somebody may have been told of it.
        missing = range(first, min(state.uid_next, first + _MOST_MISSING))
        arrived = {given[base] for base in by_text}
        records = [Record(GONE, uid, modseq=modseq) for uid in missing if uid not in arrived]
        if came:  # another server may have given a new number to a message that it had missed
            records += [
                Record(GONE, uid, modseq=modseq)
                for uid, _, name in latest.names()
                if os.fsdecode(base_of(name)) in came
            ]
        with_dates = len(by_text) <= _MOST_DATES
        for uid, base in sorted((given[base], base) for base in by_text):
            bit, name = by_text[base]
            size, date = self._facts(bit, name, names.extensions.get(uid, ""), with_dates)
            records.append(Record(NEW, uid, mark_of_name(name) | bit, modseq, size, date, name))
            if " P" in f" {names.extensions.get(uid, '')}":
                state = state._replace(uidls=state.uidls + 1)
        return records, state

    def _see_also(self, by_text: dict[str, tuple[int, bytes]], given: dict[str, int]) -> set[str]:
        """Add messages that were stored since we looked: they have lower numbers than those that we shall give."""
        came = set()
        fresh, present = self.directories.list_both()
        for bit, names in ((FRESH, fresh), (0, present)):
            for name in names:
                base = os.fsdecode(base_of(name))
                if base in given and base not in by_text:
                    by_text[base] = (bit, name)
                    came.add(base)
        return came

    # --- parts

    def _take_in(self, fresh: Iterable[bytes]) -> dict[bytes, bytes]:
        """Move messages from new/ to cur/; old name to new name of those that we moved (they are recent to us)."""
        moved: dict[bytes, bytes] = {}
        if not self._take_in_wanted:
            return moved
        new, cur = self.directories.new, self.directories.cur
        for name in fresh:
            target = name if _BYTES_INFO in name else name + _BYTES_INFO
            try:
                os.rename(b"%b/%b" % (new, name), b"%b/%b" % (cur, target))
            except FileNotFoundError:
                continue  # another session took it in
            except OSError as error:
                if error.errno in _NOT_OURS:
                    self._take_in_wanted = False
                    return moved
                raise StoreUnavailable(f"cannot take in new mail: {error.strerror}") from error
            moved[name] = target
        return moved

    def _facts(self, bit: int, name: bytes, extension: str, with_date: bool) -> tuple[int, float]:
        """Size on the wire and date, as far as they can be had without reading the message."""
        stored, wire = sizes(os.fsdecode(base_of(name)))
        for word in extension.split() if wire < 0 else ():
            if word[:1] == "W" and word[1:].isascii() and word[1:].isdigit():
                wire = int(word[1:])
        if not with_date:
            return wire, -1.0
        try:
            about = os.stat(b"%b/%b" % (self.directories.new if bit else self.directories.cur, name))
        except OSError:
            return wire, -1.0
        if (stored >= 0 and stored != about.st_size) or wire < about.st_size:
            wire = -1
        return wire, about.st_mtime

    def _stamped(self, state: State, before: Stamps, after: Stamps, looked_cur: bool) -> State:
        """The state after a look at new/, and at cur/ or not, that began at `before` and ended at `after`."""
        state = state._replace(new_stamp=after.new, new_due=due_after_look(before.new))
        if looked_cur:
            state = state._replace(cur_stamp=after.cur, cur_due=due_after_look(before.cur))
        elif after.cur != before.cur:
            state = state._replace(cur_stamp=after.cur)
        return state

    def _with_list(self, state: State, names: UidList) -> State:
        return state._replace(
            uid_next=max(state.uid_next, names.next_uid),
            list_inode=self._uids.inode,
            list_end=names.end,
            lines=names.lines,
        )

    def _forget_vanished(self) -> None:
        latest = self._live.latest
        if latest is None or not self._take_in_wanted:
            return
        if not has_many_vanished(latest.state.lines, latest.state.messages):
            return
        try:
            self._uids.forget_vanished(self._bases)
        except MailboxNotFound:
            raise
        except StoreError:
            return  # no room for the shorter list, or another is at it: the long one does as well
        if self._uids.list is not None:
            self._live.commit((), self._with_list(latest.state, self._uids.list))

    def _bases(self) -> set[str]:
        return {os.fsdecode(base_of(name)) for names in self.directories.list_quietly() for name in names}


def _changed_by_us(state: State, messages: int) -> State:
    return state._replace(new_due=due_after_change(0), cur_due=due_after_change(state.cur_due, messages))
