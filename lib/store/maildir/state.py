"""One Maildir directory's UID list, shared between a mailbox view, appends and copies into it.

Gives the transaction in which UIDs are handed out: lock, take in what others wrote, add names, write durably.
Of a list that the index knows, only what was appended since is read.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pillarbox.lib.store.index.file import peek
from pillarbox.lib.store.index.layout import State
from pillarbox.lib.store.index.live import Live
from pillarbox.lib.store.interface import MailboxNotFound, StoreUnavailable
from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.store.maildir import uidlist
from pillarbox.lib.store.maildir.courier import adopted
from pillarbox.lib.store.maildir.restored import go_on_above_index
from pillarbox.lib.store.maildir.uidlist import UidList
from pillarbox.lib.store.uidvalidity import new_uid_validity

REWRITE_DEAD: Final = 256
"""So many lines of vanished messages are left in the list before a rewrite is worth its cost."""
KEPT: Final = 16
"""Lists kept in memory per account; more folders than that are rarely used at once."""


class UidState:
    """The UID list of `directory`; `root` is the account's Maildir, where the highest UIDVALIDITY given is kept."""

    __slots__ = ("_path", "_root", "_seen", "directory", "in_hand", "list", "live")

    def __init__(self, directory: str, root: str) -> None:
        self.directory = directory
        self._root = root
        self._path = f"{directory}/{uidlist.NAME}"
        self._seen: tuple[int, int, int] | None = None
        self.list: UidList | None = None
        self.live: Live | None = None
        """The index of the directory, followed for what is stored there."""
        self.in_hand: set[bytes] = set()
        """Base names of messages that were taken in and may have no UID yet (`intake`)."""

    @property
    def inode(self) -> int:
        """Of the file as it was read, 0 for none."""
        return self._seen[0] if self._seen is not None else 0

    def load(self) -> bool:
        """Take in the file if it changed; true when it did.  `list` is None while there is no list yet."""
        try:
            about = os.stat(self._path)
        except FileNotFoundError:
            changed = self.list is not None
            self.list, self._seen = None, None
            return changed
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self._path}: {error.strerror}") from error
        seen = (about.st_ino, about.st_size, about.st_mtime_ns)
        if seen == self._seen:
            return False
        if self.list is None:
            self._resume(about)
        known = self.list
        if known is not None and self._seen is not None and seen[0] == self._seen[0] and seen[1] >= known.end:
            if seen[1] > known.end:
                uidlist.read_more(self._path, known)
            if known.damaged or (seen[1] == self._seen[1] and self._seen[2] >= 0):
                # Perhaps another file, which got the number of one that is no more.
                self.list = self._read()
        else:
            self.list = self._read()
        self._seen = seen
        return True

    def _read(self) -> UidList | None:
        """The whole list."""
        found = uidlist.read(self._path)
        if found is not None:
            go_on_above_index(self.directory, found)
        return found

    def _resume(self, about: os.stat_result) -> None:
        """Begin where the index stopped."""
        known = peek(self.directory)
        if known is None:
            return
        header, state = known
        if state.list_inode == about.st_ino and 0 < state.list_end <= about.st_size:
            self.list = UidList(
                header.uid_validity, state.uid_next, header.guid.decode("ascii", "replace"), skipped=state.lines
            )
            self.list.end = state.list_end
            self._seen = (about.st_ino, state.list_end, -1)

    def load_all(self) -> None:
        """As `load`, with every line read."""
        self.load()
        if self.list is not None and self.list.skipped >= 0:
            self.list = self._read()

    def _remember(self) -> None:
        about = os.stat(self._path)
        self._seen = (about.st_ino, about.st_size, about.st_mtime_ns)

    @contextmanager
    def locked(self, everything: bool = False) -> Iterator[UidList]:
        """Hold the lock with the list up to date, made if there was none; `everything`: with every line read.

        Raises MailboxBusy, StoreUnavailable, MailboxNotFound (the directory is gone).
        """
        try:
            with dot_lock(f"{self._path}.lock"):
                if everything:
                    self.load_all()
                else:
                    self.load()
                if self.list is None:
                    self.list = adopted(self.directory, UidList(new_uid_validity(self._root), 1, secrets.token_hex(16)))
                    uidlist.rewrite(self._path, self.list)
                    self._remember()
                yield self.list
        except FileNotFoundError:
            raise MailboxNotFound("the mailbox was deleted") from None
        except StoreUnavailable:
            if not os.path.isdir(self.directory):
                raise MailboxNotFound("the mailbox was deleted") from None
            raise
        except OSError as error:
            raise StoreUnavailable(f"cannot write {self._path}: {error.strerror}") from error

    def assign(self, names: UidList, bases: Sequence[str], extensions: dict[str, str] | None = None) -> list[int]:
        """Give UIDs to `bases` in this order and write them down.  Call inside `locked`."""
        try:
            given = [names.add(base, extensions.get(base, "") if extensions else "") for base in bases]
            if names.damaged:
                uidlist.rewrite(self._path, names)
            else:
                uidlist.append(self._path, names, bases)
            self._remember()
        except BaseException:
            self.list, self._seen = None, None  # it has numbers that are not in the file, and that others may give
            raise
        return given

    def reflected(self, state: State, names: UidList) -> State:
        """The index's state once it reflects the list."""
        return state._replace(
            uid_next=max(state.uid_next, names.next_uid),
            list_inode=self.inode,
            list_end=names.end,
            lines=names.lines,
        )

    def new_validity(self) -> int:
        """A UIDVALIDITY for the mailbox when its UIDs can mean nothing any more."""
        return new_uid_validity(self._root)

    def leave_out(self, number: int) -> None:
        """Give so many UIDs to nobody.  Raises as `locked`."""
        with self.locked(everything=True) as names:
            names.next_uid += number
            uidlist.rewrite(self._path, names)
            self._remember()

    def forget_vanished(self, look: Callable[[], Collection[str]]) -> None:
        """Rewrite the list without messages that have no file.

        `look` lists base names and is called under the lock, so that a message that another process is just moving in
        is not forgotten.
        """
        with self.locked(everything=True) as names:
            existing = look()
            for base in [base for base in names.uids if base not in existing]:
                names.extensions.pop(names.uids.pop(base), None)
            uidlist.rewrite(self._path, names)
            self._remember()


def has_many_vanished(lines: int, messages: int) -> bool:
    """Whether the list names so many messages that are no more that a rewrite is worth its cost."""
    return lines - messages >= max(REWRITE_DEAD, messages // 4)


class UidStates:
    """The lists of one account, kept between uses: an append then reads what was added, not the whole list."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._states: dict[str, UidState] = {}

    def of(self, directory: str) -> UidState:
        """The list of the Maildir at `directory`."""
        state = self._states.pop(directory, None) or UidState(directory, self._root)
        self._states[directory] = state
        if len(self._states) > KEPT:
            del self._states[next(iter(self._states))]
        return state
