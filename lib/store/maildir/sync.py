"""Bringing the index in line with a Maildir's directories after another program changed them.

The directories are the truth: the file names carry the flags, and a file is known by its base name.  What differs from
the index (`differences`, `newcomers`) is written to its log, so that one session looks for all.  Only new/ is listed
where only that changed.  A message that is missing is looked for a second time before it counts as gone.  UIDs come
from the UID list, whose lock is taken after the index's and never the other way round.

A look at a large mailbox takes long: where the caller is in haste (`patience`) it is refused before it begins.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.index.base import Columns
from pillarbox.lib.store.index.layout import FRESH, Damaged, Row, State
from pillarbox.lib.store.index.live import Live, next_modseq
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.interface import MailboxNotFound, StoreError, StoreUnavailable
from pillarbox.lib.store.maildir.differences import Differences, in_both, in_new
from pillarbox.lib.store.maildir.filename import arrival_key, base_of, mark_of_name
from pillarbox.lib.store.maildir.intake import Intake
from pillarbox.lib.store.maildir.modseq import ahead
from pillarbox.lib.store.maildir.newcomers import MOST_DATES, facts, number
from pillarbox.lib.store.maildir.restored import put_back, usable
from pillarbox.lib.store.maildir.scan import Directories, Stamps, due_after_change, due_after_look, is_due
from pillarbox.lib.store.maildir.state import UidState, has_many_vanished
from pillarbox.lib.store.maildir.uidlist import UidList

LARGE: Final = 5_000
"""Messages whose directories are looked at within some 10 ms; of more that takes long."""
_MANY: Final = 1_000
"""New messages that are numbered and asked for their dates within some milliseconds."""
_AFTER_CHANGE: Final = 1_000_000
"""Microseconds after a change of a directory within which it has got its modification sequence."""


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
        self._intake = Intake(self.directories, uids, take_in)
        self.taken = self._intake.taken
        """UIDs of messages that were taken in; whoever tells of them clears it."""

    def needed(self) -> bool:
        """Whether the directories, or the time, say that there may be something new."""
        stamps = self.directories.stamps()
        latest = self._live.latest
        return latest is None or is_stale(latest.state, stamps) or (self._intake.wanted and latest.state.fresh > 0)

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
                self._start_anew(latest)
            else:
                try:
                    self._look(latest, everything)
                except Damaged:
                    live.lose()
                    self._start_anew()
            self._intake.done()
            self._forget_vanished()

    def _belongs(self, latest: Table, known: UidList) -> bool:
        """Whether the index is that of this UID list."""
        header = latest.base.header
        if known.uid_validity != header.uid_validity or known.guid.encode("ascii", "replace")[:32] != header.guid:
            return False
        if self._uids.inode == latest.state.list_inode and known.end >= latest.state.list_end and not known.older:
            return True
        # Another file than the one that it was made from: every message must have the same number in it.
        if len(latest) > LARGE:
            patience.give_way()
        self._uids.load_all()
        whole = self._uids.list
        try:
            return whole is not None and all(
                whole.uids.get(os.fsdecode(base_of(name))) == uid for uid, _, name in latest.names()
            )
        except Damaged:
            return False

    # --- the whole mailbox

    def _start_anew(self, latest: Table | None = None) -> None:
        """`latest`: an index that does not go with the list, and may be newer."""
        patience.give_way()
        if os.access(self._uids.directory, os.W_OK) or not os.path.isdir(self._uids.directory):
            with self._uids.locked(everything=True) as names:
                latest = usable(latest, names)
                changed = latest is not None and put_back(latest, names, self._uids.new_validity)
                self._build(names, usable(latest, names), changed)
            return
        self._uids.load_all()
        if self._uids.list is None:
            raise StoreUnavailable("the mailbox has no UIDs and cannot be written")
        try:
            self._build(self._uids.list)
        except OSError as error:
            raise StoreUnavailable(f"messages without a UID, and the mailbox cannot be written: {error}") from error

    def _build(self, names: UidList, latest: Table | None = None, changed: bool = False) -> None:
        """`changed`: the list is to be written in any case."""
        told = self._live.told
        if told is not None and told.base.header.uid_validity != names.uid_validity:
            told = None
        told = told if told is not None else latest
        if told is not None:
            names.next_uid = max(names.next_uid, told.state.uid_next)
        before = self.directories.stamps()
        fresh, present = self.directories.list_quietly()
        moved = self._intake.take(fresh)
        # All names are held at once, and each once only: there may be very many.
        present.update(moved.values())
        fresh.difference_update(moved)
        fresh.difference_update(present)
        by_base = {os.fsdecode(base_of(name)): name for name in fresh}
        by_base.update((os.fsdecode(base_of(name)), name) for name in present)
        del present
        # What was told to be gone, and is back, is a new message (RFC 9051 section 2.3.1.1).
        next_uid = told.state.uid_next if told is not None else 1
        back = {
            base
            for base in by_base
            if told is not None and (uid := names.uids.get(base, next_uid)) < next_uid and told.position(uid) is None
        }
        unknown = sorted((base for base in by_base if base not in names.uids or base in back), key=arrival_key)
        if unknown or changed:
            names.damaged = names.damaged or changed
            self._uids.assign(names, unknown)
        # The clock may have been set back since an index that is no more told of the last changes.
        modseq = next_modseq(
            max(
                told.state.modseq if told is not None else 0,
                max(before) // 1000 + _AFTER_CHANGE + ahead(self._uids.directory),
            )
        )
        with_dates = len(by_base) <= MOST_DATES

        def rows() -> Iterator[tuple[int, Row]]:
            for base in sorted(by_base, key=names.uids.__getitem__):
                uid, name = names.uids[base], by_base[base]
                bit = FRESH if name in fresh else 0
                size, date = facts(self.directories, bit, name, names.extensions.get(uid, ""), with_dates)
                yield uid, Row(mark_of_name(name) | bit, modseq, size, date, name)

        columns = Columns.of(rows())
        state = self._stamped(State(modseq=modseq), before, self.directories.stamps() if moved else before, True)
        if moved:
            state = _changed_by_us(state, len(by_base))
        by_base.clear()
        state = self._uids.reflected(state, names)
        state = state._replace(uidls=sum(1 for words in names.extensions.values() if " P" in f" {words}"))
        self._live.start_anew(
            columns,
            state,
            uid_validity=names.uid_validity,
            guid=names.guid.encode("ascii", "replace")[:32],
        )
        self._intake.numbered(zip(columns.names, columns.uids, strict=True))

    # --- what changed

    def _look(self, latest: Table, everything: bool) -> None:
        state = latest.state
        before = self.directories.stamps()
        look_cur = everything or before.cur != state.cur_stamp or is_due(state.cur_due)
        if not look_cur:
            fresh = self.directories.list_new()
            look_cur = not latest.fresh().keys() <= fresh
        if look_cur:
            if len(latest) > LARGE:
                patience.give_way()
            fresh, present = self.directories.list_both()
            moved = self._intake.take(fresh)
            found = in_both(latest, self.directories, fresh, present, moved)
        else:
            moved = self._intake.take(fresh)
            found = in_new(latest, fresh, moved)
        self._note(
            latest, found, moved, self._stamped(state, before, self.directories.stamps() if moved else before, look_cur)
        )

    def _note(self, latest: Table, found: Differences, moved: dict[bytes, bytes], state: State) -> None:
        """Write down what was found; `state` is that of the index after it, but for the UIDs."""
        if moved:
            state = _changed_by_us(state, len(latest))
        modseq = next_modseq(latest.state.modseq)
        records, left = found.records(latest)
        unknown = found.unknown(latest)
        known = self._uids.list
        if unknown or (known is not None and known.next_uid > state.uid_next):
            if len(unknown) > _MANY:
                patience.give_way()
            arrived, state = number(self.directories, self._uids, latest, unknown, state, modseq)
            self._intake.numbered((record.name, record.uid) for record in arrived)
            records += arrived
        elif known is not None and self._uids.inode != state.list_inode:
            state = self._uids.reflected(state, known)
        if self._intake.wanted:
            self.taken.update(left)
        changed = False
        for place, record in enumerate(records):
            if record.modseq == 0:
                records[place] = record._replace(modseq=modseq)
                changed = True
        if changed or state.uid_next > latest.state.uid_next:
            state = state._replace(modseq=modseq)
        if records or state != latest.state:
            self._live.commit(records, state)

    def _stamped(self, state: State, before: Stamps, after: Stamps, looked_cur: bool) -> State:
        """The state after a look at new/, and at cur/ or not, that began at `before` and ended at `after`."""
        state = state._replace(new_stamp=after.new, new_due=due_after_look(before.new))
        if looked_cur:
            state = state._replace(cur_stamp=after.cur, cur_due=due_after_look(before.cur))
        elif after.cur != before.cur:
            state = state._replace(cur_stamp=after.cur)
        return state

    # --- the UID list's length

    def _forget_vanished(self) -> None:
        latest = self._live.latest
        if latest is None or not self._intake.wanted:
            return
        if not has_many_vanished(latest.state.lines, latest.state.messages):
            return
        try:
            if latest.state.lines > LARGE:
                patience.give_way()  # to a look that takes its time
            self._uids.forget_vanished(self._bases)
        except MailboxNotFound:
            raise
        except StoreError:
            return  # no room for the shorter list, or another is at it: the long one does as well
        if self._uids.list is not None:
            self._live.commit((), self._uids.reflected(latest.state, self._uids.list))

    def _bases(self) -> set[str]:
        return {os.fsdecode(base_of(name)) for names in self.directories.list_quietly() for name in names}


def _changed_by_us(state: State, messages: int) -> State:
    return state._replace(new_due=due_after_change(0), cur_due=due_after_change(state.cur_due, messages))
