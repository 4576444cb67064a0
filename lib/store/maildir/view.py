"""An open Maildir mailbox: the snapshot of its messages and how it follows the index and the directory.

The index tells what other sessions did; where the directories changed otherwise, `sync` looks and notes it for all.
What a session does with the messages is in `mailbox`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from pillarbox.lib.store.index.cache import FileCache
from pillarbox.lib.store.index.columns import ColumnSnapshot, mark_of
from pillarbox.lib.store.index.file import IndexFile
from pillarbox.lib.store.index.layout import FACT, FRESH, Damaged, Record, Row
from pillarbox.lib.store.index.live import Live, next_modseq
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.interface import (
    Changes,
    Mailbox,
    MailboxNotFound,
    MessageCache,
    MessageGone,
    Since,
    StoreUnavailable,
)
from pillarbox.lib.store.maildir.filename import arrival_key, base_of
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.scan import due_after_change
from pillarbox.lib.store.maildir.state import UidStates
from pillarbox.lib.store.maildir.sync import Synchronizer

_T = TypeVar("_T")
RETRIES: Final = 5
"""Another program would have to rename the same message that often between our look and our step."""
_MOST_FACTS: Final = 4096
"""Sizes and dates that were found out and not yet written to the index."""
_SOME_FACTS: Final = 256
"""So many are worth writing while the session goes on."""
_NO_CHANGES = Changes()
CACHE_NAME: Final = "pillarbox.cache"


class MaildirView(Mailbox):
    """The snapshot of the Maildir at `directory`; `resolve` gives the directory of another mailbox of the account."""

    def __init__(
        self,
        name: str,
        directory: str,
        states: UidStates,
        read_only: bool,
        resolve: Callable[[str], str],
        ledger: Ledger,
    ) -> None:
        """Raises MailboxNotFound, MailboxBusy, StoreUnavailable."""
        self.name = name
        self.read_only = read_only
        self.cache: MessageCache = FileCache(f"{directory}/{CACHE_NAME}", self)
        self._directory = directory
        self._states = states
        self._resolve = resolve
        self._ledger = ledger
        self._state = states.of(directory)
        self._keywords = Keywords(directory)
        self._live = Live(IndexFile(directory, f"{directory}/tmp"))
        self._sync = Synchronizer(directory, self._live, self._state, not read_only)
        self._facts: dict[int, tuple[int, float]] = {}  # size and date by UID, not yet in the index
        self._hidden: set[int] = set()  # UIDs that came in below the highest one and cannot be shown
        self._to_tell: set[int] = set()  # UIDs of messages whose flags mean something else
        try:
            self._enter()
        except BaseException:
            self.cache.close()  # which holds this view, and with it the index's descriptor
            raise

    def _enter(self) -> None:
        """Find out what is there, and make that the snapshot."""
        self._live.read()
        if self._sync.needed():
            self._sync.run()
        table = self._latest
        self.uid_validity = table.base.header.uid_validity
        self._keywords.reload()
        self._words = dict(self._keywords.names)  # letters as the session knows them
        self._live.catch_up()
        self.messages: ColumnSnapshot = ColumnSnapshot(table, self._keywords.words)
        self._take_recent()

    # --- the snapshot

    @property
    def uid_next(self) -> int:  # type: ignore[override]
        return max(self.messages.table.state.uid_next, self.messages.table.last_uid + 1)

    @property
    def highest_modseq(self) -> int:  # type: ignore[override]
        return self.messages.table.state.modseq

    @property
    def mailbox_id(self) -> str:
        guid = self.messages.table.base.header.guid
        return guid.decode("ascii") if guid.isalnum() else f"V{self.uid_validity:x}"

    @property
    def keywords(self) -> tuple[str, ...]:
        return tuple(self._keywords.names.values())

    @property
    def accepts_new_keywords(self) -> bool:
        return not self.read_only and self._keywords.room

    def watch_paths(self) -> tuple[str, ...]:
        return self._sync.directories.paths

    @property
    def _latest(self) -> Table:
        if self._live.latest is None:
            self._sync.run(everything=True)
        if self._live.latest is None:
            raise StoreUnavailable("the mailbox's index cannot be made")
        return self._live.latest

    @property
    def _replaced(self) -> bool:
        """Whether the numbers of the session are those of a mailbox that is no more."""
        return self._latest.base.header.uid_validity != self.uid_validity

    def refresh(self) -> Changes:
        live = self._live
        live.read()
        if live.latest is None or self._sync.needed():
            self._sync.run()
        if live.latest is live.told and not live.jumped and len(self._facts) < _SOME_FACTS and not self._to_hear():
            return _NO_CHANGES
        return self._tell()

    def _tell(self) -> Changes:
        """Make the newest state the snapshot."""
        self._note_facts(_SOME_FACTS)
        live, messages = self._live, self.messages
        before, after = messages.table, self._latest
        if after.base.header.uid_validity != self.uid_validity:
            return Changes(uid_validity_changed=True)
        if live.jumped:
            try:
                touched = _differing(before, after)
            except Damaged:
                return Changes(uid_validity_changed=True)  # nobody knows what the session was told
        else:
            touched = {record.uid for record in live.pending if record.kind != FACT}
        next_uid = before.state.uid_next
        expunged, changed, new, hidden = [], set(), [], set()
        for uid in sorted(touched):
            old, now = before.facts(uid), after.facts(uid)
            if old is not None and now is None:
                expunged.append(uid)
            elif old is not None and now is not None:
                if (old[0] ^ now[0]) & ~FRESH:
                    changed.add(uid)
                if old[0] & FRESH and not now[0] & FRESH and uid not in self._sync.taken:
                    messages.make_recent(uid)  # it was told as recent; another session took it in
            elif now is not None and uid >= next_uid:
                new.append(uid)
            elif now is not None:
                hidden.add(uid)
        self._hidden |= hidden
        live.catch_up()
        if self._hidden:
            live.told = after.clone()
            live.told.hide(uid for uid in self._hidden if after.position(uid) is not None)
        messages.table = live.told if live.told is not None else after
        changed |= self._reworded()
        self._take_recent()
        return Changes(
            tuple(expunged),
            tuple(
                messages.state(uid) for uid in sorted(changed) if uid < next_uid and messages.position(uid) is not None
            ),
            tuple(messages.state(uid) for uid in new),
        )

    def _take_recent(self) -> None:
        """What this session took in is recent to it."""
        for uid in sorted(self._sync.taken):
            if self.messages.position(uid) is not None:
                self.messages.make_recent(uid)
        self._sync.taken.clear()

    def _reworded(self) -> set[int]:
        """Messages with a keyword letter that means something else now."""
        self._keywords.reload()
        words, found = self._keywords.names, self._to_tell
        self._to_tell = set()
        if words != self._words:
            found |= self._with_letters(
                letter for letter in words.keys() | self._words.keys() if words.get(letter) != self._words.get(letter)
            )
            self._words = dict(words)
        return found

    def _to_hear(self) -> bool:
        """Whether a keyword letter means something else than the session knows."""
        return bool(self._to_tell) or self._keywords.names != self._words

    def _with_letters(self, letters: Iterable[str]) -> set[int]:
        mask = mark_of(0, "".join(letters))
        table = self.messages.table
        return {uid for uid, mark in zip(table.uids(), table.column("marks"), strict=True) if mark & mask}

    def _use_letters(self, letters: str) -> None:
        """The session is about to set these keywords, of which it then knows."""
        new = [letter for letter in letters if self._words.get(letter) != self._keywords.names[letter]]
        if new:
            self._to_tell |= self._with_letters(new)  # another program used a letter that had no meaning
            self._words.update((letter, self._keywords.names[letter]) for letter in new)

    def changed_since(self, modseq: int) -> Since:
        table = self.messages.table
        gone = table.vanished_since(modseq)
        if gone is None:
            return super().changed_since(modseq)
        uids = table.uids()
        changed = [uids[place] for place, each in enumerate(table.column("modseqs")) if each > modseq]
        vanished: list[tuple[int, int]] = []
        for uid in gone:
            if vanished and vanished[-1][1] == uid - 1:
                vanished[-1] = (vanished[-1][0], uid)
            else:
                vanished.append((uid, uid))
        return Since(tuple(map(self.messages.state, changed)), tuple(vanished))

    # --- one message

    def _row(self, uid: int, *, named: bool = True) -> Row:
        """What is known now of a message of the snapshot; `named`: with its name.  Raises MessageGone."""
        if self.messages.position(uid) is None:
            raise MessageGone("no such message")
        try:
            row = self._latest.row(uid, named=named)
        except Damaged:
            self._live.lose()
            row = self._latest.row(uid, named=named)
        if row is None or self._replaced:
            raise MessageGone("no such message")
        return row

    def _path(self, row: Row) -> str:
        return f"{self._directory}/{'new' if row.mark & FRESH else 'cur'}/{os.fsdecode(row.name)}"

    def _with_place(self, uid: int, action: Callable[[str], _T]) -> _T:
        """Do `action` with the message's path; look where it is now if it was renamed meanwhile.

        Raises MessageGone, and OSError as `action` does.
        """
        return self._with_row(uid, action)[0]

    def _with_row(self, uid: int, action: Callable[[str], _T]) -> tuple[_T, Row]:
        """As `_with_place`, with what is known of the message."""
        for attempt in range(RETRIES):
            row = self._row(uid)
            try:
                return action(self._path(row)), row
            except FileNotFoundError:
                # Another session of ours says so in the index; for another program one must look.
                if not attempt:
                    self._live.read()
                if self._row(uid) == row:
                    self._sync.run(everything=True)
        raise MessageGone("the message was removed by another program")

    def _where_known(self, uid: int, action: Callable[[str], _T]) -> _T:
        """As `_with_place`, but without a look, which might wait for the lock of a UID list that we hold."""
        try:
            return action(self._path(self._row(uid)))
        except FileNotFoundError:
            raise MessageGone("the message was renamed or removed by another program") from None

    def _base(self, row: Row) -> str:
        return os.fsdecode(base_of(row.name))

    def save_date(self, uid: int) -> float | None:
        # The name is given when the message is put into this mailbox, and begins with the time (maildir(5)).
        seconds = arrival_key(self._base(self._row(uid)))[0]
        return float(seconds) if 0 < seconds < 1 << 34 else None

    # --- changes of our own

    @contextmanager
    def _changing(self) -> Iterator[OwnChanges]:
        """Hold the index's lock, and write down there what was done.  Raises MailboxNotFound for another mailbox."""
        with self._live.locked():
            if self._replaced:
                raise MailboxNotFound("the mailbox was deleted")
            changes = OwnChanges(self)
            try:
                yield changes
            finally:
                changes.write()

    def _note_facts(self, least: int = 1) -> None:
        """Write down sizes and dates that were found out."""
        if len(self._facts) < least or self._live.private:
            return
        with self._live.locked():
            latest = self._live.latest
            if latest is None or self._replaced:
                return
            records = [
                Record(FACT, uid, size=size, date=date)
                for uid, (size, date) in self._facts.items()
                if latest.facts(uid) is not None
            ]
            self._facts.clear()
            if records:
                self._live.commit(records, latest.state, own=True)
                self._show_own()

    def _show_own(self) -> None:
        if self._live.told is not None:
            self.messages.table = self._live.told

    def _learn(self, uid: int, size: int, date: float) -> None:
        self._facts[uid] = (size, date)
        if len(self._facts) >= _MOST_FACTS:
            self._note_facts()

    def close(self) -> None:
        try:
            self._note_facts()
        except (StoreUnavailable, Damaged):
            pass
        self.cache.close()


class OwnChanges:
    """Changes of one call, on their way into the index.  Only under its lock."""

    def __init__(self, view: MaildirView) -> None:
        self._view = view
        self._begin()

    def _begin(self) -> None:
        self._records: list[Record] = []
        self._before = self._view._sync.directories.stamps()

    def add(self, record: Record) -> None:
        """Note what was done; the modification sequence is given when it is written."""
        self._records.append(record)

    def look(self) -> None:
        """Another program has been at it: write down what we did so far, and look."""
        self.write()
        self._view._sync.run(everything=True)
        self._begin()

    def write(self) -> None:
        """Put it into the index."""
        view, records = self._view, self._records
        latest = view._live.latest
        self._records = []
        if not records or latest is None or view._replaced:
            return
        state = latest.state
        after = view._sync.directories.stamps()
        if self._before.cur == state.cur_stamp != after.cur:
            state = state._replace(cur_stamp=after.cur, cur_due=due_after_change(state.cur_due, len(latest)))
        if self._before.new == state.new_stamp != after.new:
            state = state._replace(new_stamp=after.new, new_due=due_after_change(0))
        # Only now: others may have written since we began, and theirs must not be higher than ours.
        modseq = next_modseq(state.modseq)
        numbered = [record._replace(modseq=modseq) for record in records]
        view._live.commit(numbered, state._replace(modseq=modseq), own=True)
        view._show_own()


def _differing(before: Table, after: Table) -> set[int]:
    """UIDs of messages that are not the same in both."""
    if before.base.header.lineage == after.base.header.lineage:
        since = before.state.modseq
        gone = after.vanished_since(since)
        if gone is not None:
            uids = after.uids()
            return {uids[place] for place, each in enumerate(after.column("modseqs")) if each > since}.union(gone)
    old = dict(zip(before.uids(), before.column("marks"), strict=True))
    now = dict(zip(after.uids(), after.column("marks"), strict=True))
    return {uid for uid, _ in old.items() ^ now.items()}
