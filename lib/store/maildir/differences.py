"""What a Maildir's directories hold and its index does not say, and the other way round.

A file is known by its base name; one whose flags or place changed has another name.
"""

from __future__ import annotations

from typing import NamedTuple

from pillarbox.lib.store.index.layout import FLAGS, FRESH, GONE, Record
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.maildir.filename import base_of, mark_of_name
from pillarbox.lib.store.maildir.scan import Directories


class Differences(NamedTuple):
    """Between an index and the directories."""

    added: list[tuple[int, bytes]]
    """Place (`FRESH` or 0) and name of files that the index does not have under this name."""
    removed: dict[bytes, int]
    """Base names and UIDs of messages that do not have the index's name any more."""
    others_moved: bool
    """Something in `added` may be a message that the index has in another place."""

    def records(self, latest: Table) -> tuple[list[Record], list[int]]:
        """What became of messages that the index has, and UIDs of those that lie in new/ no longer.

        A modification sequence of 0 is for the caller to give.
        """
        records, left = [], []
        for bit, name in self.added:
            uid = self.removed.get(base_of(name))
            row = latest.row(uid) if uid is not None else None
            if uid is None or row is None:
                continue
            mark = mark_of_name(name) | bit
            if mark == row.mark and name == row.name:
                continue
            same = (mark ^ row.mark) & ~FRESH == 0
            records.append(Record(FLAGS, uid, mark, row.modseq if same else 0, row.size, row.date, name))
            if row.mark & FRESH and not bit:
                left.append(uid)
        matched = {base_of(name) for _, name in self.added}
        records += (Record(GONE, uid) for base, uid in self.removed.items() if base not in matched)
        return records, left

    def unknown(self, latest: Table) -> list[tuple[int, bytes]]:
        """Place and name of messages that the index does not have at all."""
        unknown = [(bit, name) for bit, name in self.added if base_of(name) not in self.removed]
        if unknown and self.others_moved:
            known = {base_of(name) for _, _, name in latest.names()}
            unknown = [(bit, name) for bit, name in unknown if base_of(name) not in known]
        return unknown


def in_new(latest: Table, fresh: set[bytes], moved: dict[bytes, bytes]) -> Differences:
    """Where only new/ changed: `fresh` lies there, with all that the index has there, but what was `moved` to cur/."""
    known = latest.fresh()
    added = [(0, name) for name in moved.values()]
    added += [(FRESH, name) for name in fresh if name not in moved and name not in known]
    return Differences(added, {base_of(name): uid for name, uid in known.items() if name in moved}, False)


def in_both(
    latest: Table, directories: Directories, fresh: set[bytes], present: set[bytes], moved: dict[bytes, bytes]
) -> Differences:
    """Of what was found in new/ and cur/ before `moved` was moved.  What is missing is looked for once more."""
    known_fresh = latest.fresh()
    now_fresh = fresh.difference(moved)
    known = latest.name_set()
    if known_fresh:
        known.difference_update(known_fresh)
    present.update(moved.values())
    added = {base_of(name): (FRESH, name) for name in now_fresh.difference(known_fresh)}
    removed = {base_of(name): uid for name, uid in known_fresh.items() if name not in now_fresh}
    # Name by name, not set by set: between two names another thread may have its turn.
    came = [name for name in present if name not in known]
    missing = {name for name in known if name not in present}
    if came or missing:
        added.update((base_of(name), (0, name)) for name in came)
        removed.update(
            (base_of(name), uid) for uid, mark, name in latest.names() if name in missing and not mark & FRESH
        )
    if removed.keys() - added.keys():
        # Perhaps being renamed while we looked: once more, when it is quiet.
        again_fresh, again = directories.list_quietly()
        for bit, names in ((FRESH, again_fresh), (0, again)):
            for name in names:
                base = base_of(name)
                if base in removed:
                    added[base] = (bit, name)
    return Differences(list(added.values()), removed, True)
