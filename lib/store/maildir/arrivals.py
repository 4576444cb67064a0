"""Telling the index what was just stored, so that no session has to look for it.

Only where the index knows everything up to then: otherwise the next session that looks finds it, as it finds what
other programs store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from pillarbox.lib.store import patience
from pillarbox.lib.store.index.columns import mark_of
from pillarbox.lib.store.index.file import IndexFile
from pillarbox.lib.store.index.layout import FRESH, NEW, Record
from pillarbox.lib.store.index.live import Live, next_modseq
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.maildir.scan import Directories, Stamps, due_after_change
from pillarbox.lib.store.maildir.state import UidState


class Arrival(NamedTuple):
    """One message that was stored."""

    uid: int
    name: str
    """Of the file."""
    fresh: bool
    """It lies in new/."""
    flags: int
    letters: str
    size: int
    """On the wire, -1 if unknown."""
    date: float
    """Internal date, -1 if unknown."""


class Arrivals:
    """What is stored in one directory, from just before the first message gets its name there."""

    def __init__(self, state: UidState) -> None:
        """Call with the UID list locked and the UIDs given."""
        self._state = state
        self._directories = Directories(state.directory)
        self._before = self._directories.stamps()
        self._after: Stamps | None = None
        self._list = (state.inode, state.list.end, state.list.lines) if state.list is not None else (0, 0, 0)
        self._arrivals: Sequence[Arrival] = ()

    def stored(self, arrivals: Sequence[Arrival]) -> None:
        """They have their names, ascending by UID.  Call with the UID list still locked."""
        self._arrivals = arrivals
        self._after = self._directories.stamps()

    def note(self) -> None:
        """Tell the index.  Call without the UID list's lock.  Raises nothing."""
        if not self._arrivals or self._after is None:
            return
        try:
            with patience.optional():
                self._note(self._after)
        except (StoreError, OSError):
            pass  # the next look at the directory finds them

    def _note(self, after: Stamps) -> None:
        directory = self._state.directory
        file = IndexFile(directory, f"{directory}/tmp")
        seen = file.look()
        if seen is None or not seen[2]:
            return
        live = self._state.live
        if live is None or live.private:
            live = self._state.live = Live(file)
        with live.locked():
            latest = live.latest
            uids = [arrival.uid for arrival in self._arrivals]
            inode, end, lines = self._list
            if latest is None or latest.state.uid_next != uids[0] or latest.state.list_inode != inode:
                return
            if uids != list(range(uids[0], uids[0] + len(uids))) or lines != latest.state.lines + len(uids):
                return
            state = latest.state
            modseq = next_modseq(state.modseq)
            state = state._replace(uid_next=uids[-1] + 1, modseq=modseq, list_end=end, lines=lines)
            if self._before.new == state.new_stamp != after.new:
                state = state._replace(new_stamp=after.new, new_due=due_after_change(0))
            if self._before.cur == state.cur_stamp != after.cur:
                state = state._replace(cur_stamp=after.cur, cur_due=due_after_change(state.cur_due, len(latest)))
            live.commit([_record(arrival, modseq) for arrival in self._arrivals], state)
            live.catch_up()


def _record(arrival: Arrival, modseq: int) -> Record:
    mark = mark_of(arrival.flags, arrival.letters) | (FRESH if arrival.fresh else 0)
    return Record(NEW, arrival.uid, mark, modseq, arrival.size, arrival.date, os.fsencode(arrival.name))
