"""Numbering messages that the index does not have: found in the directories, stored by whoever."""

from __future__ import annotations

import os
from typing import Final

from pillarbox.lib.store.index.layout import FRESH, GONE, NEW, Record, State
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.maildir.filename import arrival_key, base_of, mark_of_name, sizes
from pillarbox.lib.store.maildir.scan import Directories
from pillarbox.lib.store.maildir.state import UidState

MOST_DATES: Final = 10_000
"""So many files are asked for their date at once when they are found; of more, when somebody wants to know."""
_MOST_MISSING: Final = 10_000
"""So many UIDs without a message are noted at once; more than that come of another server's list."""


def number(
    directories: Directories,
    uids: UidState,
    latest: Table,
    unknown: list[tuple[int, bytes]],
    state: State,
    modseq: int,
) -> tuple[list[Record], State]:
    """Records of these messages, given by place and name, and of UIDs that others gave; and the state with them.

    Waits for the UID list's lock.  Raises MailboxBusy, MailboxNotFound, StoreUnavailable.
    """
    by_text = {os.fsdecode(base_of(name)): (bit, name) for bit, name in unknown}
    with uids.locked() as names:
        names.next_uid = max(names.next_uid, state.uid_next)
        # Numbers that others have given and the index does not know yet; what had a lower one comes back, and is
        # a new message (RFC 9051 section 2.3.1.1).
        given = {base: uid for base, uid in names.uids.items() if uid >= state.uid_next}
        came = _see_also(directories, by_text, given) if any(base not in by_text for base in given) else set()
        new = sorted((base for base in by_text if base not in given), key=arrival_key)
        if new:
            given.update(zip(new, uids.assign(names, new), strict=True))
        first = state.uid_next
        state = uids.reflected(state, names)
    # Numbers without a message: it is gone again, and somebody may have been told of it.
    missing = range(first, min(state.uid_next, first + _MOST_MISSING))
    arrived = {given[base] for base in by_text}
    records = [Record(GONE, uid, modseq=modseq) for uid in missing if uid not in arrived]
    if came:  # another server may have given a new number to a message that it had missed
        records += [
            Record(GONE, uid, modseq=modseq) for uid, _, name in latest.names() if os.fsdecode(base_of(name)) in came
        ]
    with_dates = len(by_text) <= MOST_DATES
    for uid, base in sorted((given[base], base) for base in by_text):
        bit, name = by_text[base]
        size, date = facts(directories, bit, name, names.extensions.get(uid, ""), with_dates)
        records.append(Record(NEW, uid, mark_of_name(name) | bit, modseq, size, date, name))
        if " P" in f" {names.extensions.get(uid, '')}":
            state = state._replace(uidls=state.uidls + 1)
    return records, state


def _see_also(directories: Directories, by_text: dict[str, tuple[int, bytes]], given: dict[str, int]) -> set[str]:
    """Add messages that were stored since we looked: they have lower numbers than those that we shall give."""
    came = set()
    fresh, present = directories.list_both()
    for bit, names in ((FRESH, fresh), (0, present)):
        for name in names:
            base = os.fsdecode(base_of(name))
            if base in given and base not in by_text:
                by_text[base] = (bit, name)
                came.add(base)
    return came


def facts(directories: Directories, bit: int, name: bytes, extension: str, with_date: bool) -> tuple[int, float]:
    """Size on the wire and date, as far as they can be had without reading the message."""
    stored, wire = sizes(os.fsdecode(base_of(name)))
    for word in extension.split() if wire < 0 else ():
        if word[:1] == "W" and word[1:].isascii() and word[1:].isdigit():
            wire = int(word[1:])
    if not with_date:
        return wire, -1.0
    try:
        about = os.stat(b"%b/%b" % (directories.new if bit else directories.cur, name))
    except OSError:
        return wire, -1.0
    if (stored >= 0 and stored != about.st_size) or wire < about.st_size:
        wire = -1
    return wire, about.st_mtime
