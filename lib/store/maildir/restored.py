"""A UID list that is older than the index beside it was put back from a backup.

What the index knows clients have been told: those messages keep their UIDs, and new ones get higher ones.  Where the
older list has given a UID once more meanwhile, by another program, clients know two messages by it: then everything is
numbered anew under another UIDVALIDITY, since no other answer is right (RFC 9051 section 2.3.1.1).
"""

from __future__ import annotations

import os
from collections.abc import Callable

from pillarbox.lib.store.index.file import peek
from pillarbox.lib.store.index.layout import Damaged
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.maildir import uidlist
from pillarbox.lib.store.maildir.uidlist import UidList


def same_mailbox(names: UidList, uid_validity: int, guid: bytes) -> bool:
    """Whether an index with this UIDVALIDITY and id is that of the list."""
    return (names.uid_validity, names.guid.encode("ascii", "replace")[:32]) == (uid_validity, guid)


def go_on_above_index(directory: str, names: UidList) -> None:
    """Give no UID that the index knows to have been given."""
    known = peek(directory)
    if known is not None and same_mailbox(names, known[0].uid_validity, known[0].guid):
        next_uid = known[1].uid_next
        if next_uid > names.next_uid:
            names.next_uid = next_uid
            names.damaged = names.older = True  # its first line says otherwise


def is_older(directory: str) -> bool:
    """Whether the list lacks UIDs that the index knows to have been given.  Raises StoreUnavailable."""
    try:
        known = peek(directory)
    except (StoreUnavailable, OSError):
        return False
    names = uidlist.read(f"{directory}/{uidlist.NAME}") if known is not None else None
    if known is None or names is None:
        return False
    header, state = known
    return same_mailbox(names, header.uid_validity, header.guid) and state.uid_next > names.next_uid


def put_back(known: Table, names: UidList, new_validity: Callable[[], int]) -> bool:
    """Take into the list, which was read whole, what the index knows; true when it must be written."""
    try:
        there = [(uid, os.fsdecode(name.partition(b":")[0])) for uid, _, name in known.names()]
    except Damaged:
        return False
    bases = {uid: base for base, uid in names.uids.items()}
    lost = {}
    for uid, base in there:
        if bases.get(uid, base) != base:
            names.uid_validity, names.next_uid = new_validity(), 1
            names.uids.clear()
            names.extensions.clear()
            return True
        if base not in names.uids:
            lost[uid] = base
    if not lost and names.next_uid >= known.state.uid_next:
        return False
    bases.update(lost)
    names.uids = {bases[uid]: uid for uid in sorted(bases)}
    names.next_uid = max(names.next_uid, known.state.uid_next)
    return True


def usable(known: Table | None, names: UidList) -> Table | None:
    """The index, if it is that of the list and can be read."""
    try:
        if known is not None and same_mailbox(names, known.base.header.uid_validity, known.base.header.guid):
            known.position(0)
            return known
    except Damaged:
        pass
    return None
