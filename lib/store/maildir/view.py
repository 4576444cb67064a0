"""An open Maildir mailbox: the snapshot of its messages and how it follows the directory.

The directory is the truth; the file name carries the flags.  Message files are found by base name.  `new/` is listed
before `cur/`, so that a message which another reader moves over meanwhile is seen at least once.  A known message that
is missing is looked for a second time before it counts as expunged, because readdir(3) may pass over a name that is
being renamed.
What a session does with the messages is in `mailbox`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from typing import Final, TypeVar

from pillarbox.lib.store.index.cache import FileCache
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Changes,
    Mailbox,
    MessageGone,
    MessageState,
    StoreUnavailable,
)
from pillarbox.lib.store.maildir.filename import INFO, arrival_key, parse_info, split
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.scan import DirectoryWatch, list_names
from pillarbox.lib.store.maildir.state import UidStates
from pillarbox.lib.store.snapshot import ListSnapshot

_T = TypeVar("_T")
_RETRIES: Final = 5
"""Another program would have to rename the same message that often between our look and our step."""
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
        self.highest_modseq = 0
        self._sizes: dict[int, int] = {}
        self._dates: dict[int, float] = {}
        self.messages: ListSnapshot = ListSnapshot((), self._sizes, self._dates)
        self.cache = FileCache(f"{directory}/{CACHE_NAME}", self)
        self._directory = directory
        self._states = states
        self._resolve = resolve
        self._ledger = ledger
        self._state = states.of(directory)
        self._keywords = Keywords(directory)
        self._watch = DirectoryWatch(directory)
        self._places: dict[int, str] = {}  # UID -> "cur/NAME" or "new/NAME"
        self._uids: dict[str, int] = {}  # base name -> UID, of this view
        self._listed: tuple[set[str], set[str]] = (set(), set())  # names in new/ and cur/ at the last look
        self._gone: set[str] = set()  # base names that this view has reported as expunged
        self._highest = 0  # UID, of all that this view ever showed
        self.uid_validity = 0
        self.uid_next = 1
        self._look()

    # --- the snapshot

    @property
    def keywords(self) -> tuple[str, ...]:
        return tuple(self._keywords.names.values())

    @property
    def accepts_new_keywords(self) -> bool:
        return not self.read_only and self._keywords.room

    def watch_paths(self) -> tuple[str, ...]:
        return self._watch.paths

    def refresh(self) -> Changes:
        return self._look() if self._watch.must_look() else _NO_CHANGES

    def _look(self) -> Changes:
        before = self._watch.stamp()
        fresh, present = self._list()
        moved = self._take_in(fresh) if fresh and not self.read_only else {}
        for old, new in moved.items():
            fresh.discard(old)
            present.add(new)
        reworded = self._keywords.reload()
        old_fresh, old_present = self._listed
        added = [("new/", name) for name in fresh - old_fresh] + [("cur/", name) for name in present - old_present]
        removed = (old_fresh - fresh) | (old_present - present)
        self._listed = (fresh, present)
        self._watch.looked(before)
        if moved:
            self._watch.changed_by_us()
        self._state.load()
        if self._state.list is not None and self.uid_validity not in (0, self._state.list.uid_validity):
            return Changes(uid_validity_changed=True)
        places = {split(name)[0]: where + name for where, name in added}
        missing = {base for base in map(_base, removed) if base in self._uids and base not in places}
        if missing:
            missing -= self._found_after_all(missing, places)
        changed = self._rename_known(places, reworded)
        arrived = self._number(places, set(moved.values()))
        expunged = self._drop(missing)
        names = self._state.list
        if names is None:
            with self._state.locked() as names:
                pass
        self.uid_validity = names.uid_validity
        self.uid_next = names.next_uid
        if not self.read_only:
            self._state.forget_vanished(len(fresh) + len(present), lambda: set(map(_base, set().union(*self._list()))))
        return Changes(tuple(expunged), tuple(changed), tuple(arrived))

    def _list(self) -> tuple[set[str], set[str]]:
        new, cur = self._watch.paths
        fresh = list_names(new)
        return fresh, list_names(cur)

    def _take_in(self, fresh: Iterable[str]) -> dict[str, str]:
        """Move messages from new/ to cur/; old name to new name of those that we moved (they are recent to us)."""
        new, cur = self._watch.paths
        moved = {}
        for name in fresh:
            target = name if INFO in name else name + INFO
            try:
                os.rename(f"{new}/{name}", f"{cur}/{target}")
            except FileNotFoundError:
                continue  # another session took it in
            except OSError as error:
                raise StoreUnavailable(f"cannot take in new mail: {error.strerror}") from error
            moved[name] = target
        return moved

    def _found_after_all(self, missing: set[str], places: dict[str, str]) -> set[str]:
        """Look once more for messages that a concurrent rename may have hidden; adds their places."""
        fresh, present = self._list()
        found = set()
        for where, names in (("new/", fresh), ("cur/", present)):
            for name in names:
                base = _base(name)
                if base in missing:
                    places[base] = where + name
                    found.add(base)
        self._listed = (self._listed[0] | (fresh if found else set()), self._listed[1] | (present if found else set()))
        return found

    def _rename_known(self, places: dict[str, str], reworded: bool) -> list[MessageState]:
        """Take over new names of known messages, and new meanings of keyword letters; give the changed states."""
        changed = []
        known = [base for base in places if base in self._uids]
        for base in known:
            uid = self._uids[base]
            self._places[uid] = places.pop(base)
        check = [self._uids[base] for base in known] if not reworded else list(self._places)
        for uid in sorted(check):
            position = self._position(uid)
            old = self.messages[position]
            state = self._state_of(uid, old.recent)
            if state != old:
                self.messages.replace(position, state)
                changed.append(state)
        return changed

    def _number(self, places: dict[str, str], recent_names: set[str]) -> list[MessageState]:
        """UIDs for messages that this view did not have: the list's, or the next ones."""
        if not places:
            return []
        names = self._state.list
        if names is None or any(base not in names.uids or base in self._gone for base in places):
            with self._state.locked() as names:
                # What comes back after it was reported as expunged is a new message (RFC 9051 section 2.3.1.1).
                back = {base for base in places if base in self._gone and names.uids.get(base, 0) < self.uid_next}
                unknown = sorted((base for base in places if base not in names.uids or base in back), key=arrival_key)
                if unknown:
                    self._state.assign(names, unknown)
                self._gone -= back
        last = self._highest
        arrived = []
        for uid, base in sorted((names.uids[base], base) for base in places):
            if uid <= last:
                continue  # passed over before, and cannot be inserted now: it shows when the mailbox is next opened
            place = places[base]
            self._places[uid] = place
            self._uids[base] = uid
            recent = place.startswith("new/") or place[4:] in recent_names
            arrived.append(self._state_of(uid, recent))
        self.messages.extend(arrived)
        if arrived:
            self._highest = arrived[-1].uid
        return arrived

    def _drop(self, bases: Collection[str]) -> list[int]:
        """Take messages out of the snapshot; their UIDs, ascending."""
        if not bases:
            return []
        uids = set()
        for base in bases:
            uid = self._uids.pop(base)
            uids.add(uid)
            self._places.pop(uid, None)
            self._sizes.pop(uid, None)
            self._dates.pop(uid, None)
        self._gone.update(bases)
        self.messages.remove(uids)
        return sorted(uids)

    def _state_of(self, uid: int, recent: bool) -> MessageState:
        _, _, info = self._places[uid].partition(INFO)
        flags, letters, _ = parse_info(info)
        return MessageState(uid, flags, self._keywords.words(letters) if letters else NO_KEYWORDS, recent, 0)

    def _position(self, uid: int) -> int:
        position = self.messages.position(uid)
        if position is None:
            raise MessageGone("no such message")
        return position

    def _place(self, uid: int) -> str:
        place = self._places.get(uid)
        if place is None:
            raise MessageGone("no such message")
        return place

    def _with_place(self, uid: int, action: Callable[[str], _T]) -> _T:
        """Do `action` with the message's path; look where it is now if it was renamed meanwhile.

        Raises MessageGone, and OSError as `action` does.
        """
        for _ in range(_RETRIES):
            try:
                return action(f"{self._directory}/{self._place(uid)}")
            except FileNotFoundError:
                if not self._relocate(uid):
                    break
        raise MessageGone("the message was removed by another program")

    def _relocate(self, uid: int) -> bool:
        """Find the file of a known message by its base name; false when there is none."""
        wanted = _base(self._place(uid)[4:])
        fresh, present = self._list()
        for where, names in (("cur/", present), ("new/", fresh)):
            for name in names:
                if _base(name) == wanted:
                    self._places[uid] = where + name
                    return True
        return False

    def _renamed(self, uid: int, place: str) -> None:
        """Note that we gave the message a new name."""
        old = self._places[uid]
        self._listed[0 if old.startswith("new/") else 1].discard(old[4:])
        self._listed[0 if place.startswith("new/") else 1].add(place[4:])
        self._places[uid] = place


def _base(name: str) -> str:
    return name.partition(":")[0]
