"""All mailboxes of an account as mbox files below one directory, and INBOX perhaps elsewhere (`/var/mail/USER`).

A mailbox is a file; its children lie in a directory of its name with `.sbd` at the end, or, where the name itself is a
directory (as other programs make them), in that.  Names on disk are in modified UTF-7.  What belongs to the account and
is not mail lies in `.pillarbox`: indexes, journals, subscriptions, locks of sessions.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from pillarbox.lib.store import mutf7, notes, patience
from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.interface import (
    DELIMITER,
    INBOX,
    Appender,
    BadMailboxName,
    MailboxEntry,
    MailboxExists,
    MailboxNotFound,
    MailboxStatus,
    NoteKind,
    NotPossible,
    Store,
)
from pillarbox.lib.store.keeping import Identity, Restoring
from pillarbox.lib.store.locks import dot_lock, session_lock
from pillarbox.lib.store.maildir.folders import format_subscriptions, parse_subscriptions
from pillarbox.lib.store.mbox.append import MboxAppender
from pillarbox.lib.store.mbox.checking import check_file
from pillarbox.lib.store.mbox.file import MboxFile, store_error
from pillarbox.lib.store.mbox.intent import is_noted, moving
from pillarbox.lib.store.mbox.mailbox import MboxMailbox
from pillarbox.lib.store.mbox.restoring import MboxRestoring
from pillarbox.lib.system.files import sync_directory, without_waiting, write_file

_CONTROL: Final = ".pillarbox"
_CHILDREN: Final = ".sbd"
_NAME_LIMIT: Final = 200
"""Bytes of one level on disk; the rest of NAME_MAX is for lock files and indexes."""
_KEPT: Final = 16
"""Files whose indexes are kept in memory; more mailboxes than that are rarely used at once."""
_DEPTH_LIMIT: Final = 20
"""Levels; PATH_MAX would stop it a little later."""


class MboxStore(Store):
    """The account with folders below `root`."""

    def __init__(self, root: str, inbox: str | None = None) -> None:
        self._root = root.rstrip("/")
        self._inbox = inbox or f"{self._root}/{INBOX}"
        self._control = f"{self._root}/{_CONTROL}"
        self._files: dict[str, MboxFile] = {}
        """Those used last, by path: what they know of their indexes need not be read again."""
        self.location = f"mbox:{root}" + (f":INBOX={inbox}" if inbox else "")

    # --- names and places

    @property
    def scratch_directory(self) -> str:
        return self._control

    def _canonical(self, name: str) -> str:
        levels = name.split(DELIMITER)
        if levels[0].upper() == INBOX:
            levels[0] = INBOX
        if len(levels) > _DEPTH_LIMIT:
            raise BadMailboxName("the mailbox name has too many levels")
        for level in levels:
            if not level:
                raise BadMailboxName("a mailbox name has an empty level")
            if level.startswith("."):
                raise BadMailboxName('a level of a mailbox name cannot begin with "."')
            if level.endswith((_CHILDREN, ".lock")):
                raise BadMailboxName(f'a mailbox name cannot end with "{_CHILDREN}" or ".lock"')
            if any(character < " " or character == "\x7f" for character in level):
                raise BadMailboxName("a mailbox name cannot contain control characters")
            if not mutf7.is_unicode(level):
                raise BadMailboxName("the mailbox name is not valid Unicode")
            if len(_on_disk(level)) > _NAME_LIMIT:
                raise BadMailboxName("the mailbox name is too long")
        return DELIMITER.join(levels)

    def _directory(self, levels: list[str]) -> str:
        """The directory of the children of `levels`."""
        path = self._root
        for level in levels:
            plain = f"{path}/{_on_disk(level)}"
            path = plain if os.path.isdir(plain) else plain + _CHILDREN
        return path

    def _path(self, name: str) -> str:
        """The file of a canonical name, whether there is one or not."""
        if name == INBOX:
            return self._inbox
        *parents, last = name.split(DELIMITER)
        return f"{self._directory(parents)}/{_on_disk(last)}"

    def _file(self, name: str) -> MboxFile:
        """The file of an existing mailbox.  Raises MailboxNotFound, NotPossible, BadMailboxName."""
        name = self._canonical(name)
        self._make_directory(self._control)
        path = self._path(name)
        if name != INBOX and not os.path.isfile(path):
            if os.path.isdir(path) or os.path.isdir(path + _CHILDREN):
                raise NotPossible(f'"{name}" holds mailboxes, not messages')
            raise MailboxNotFound(f'no mailbox "{name}"')
        return self._mbox_file(name, path)

    def _mbox_file(self, name: str, path: str) -> MboxFile:
        # The notes' names are flat: a level's own "%" and the delimiter are written so that names cannot meet.
        notes = "%".join(_on_disk(level).replace("%", "%25") for level in name.split(DELIMITER))
        file = self._files.pop(path, None) or MboxFile(path, self._control, notes, create=name == INBOX)
        self._files[path] = file
        if len(self._files) > _KEPT:
            del self._files[next(iter(self._files))]
        return file

    def _make_directory(self, path: str) -> None:
        try:
            os.makedirs(path, 0o700, exist_ok=True)
        except OSError as error:
            raise store_error(error, f"cannot make {path}") from error

    # --- the tree

    def list(self) -> list[MailboxEntry]:
        found: dict[str, bool] = {}
        try:
            self._walk(self._root, "", found, 0)
        except OSError as error:
            raise store_error(error, "cannot list mailboxes") from error
        found[INBOX] = True
        subscribed = set(self.subscriptions())
        parents = {name.rpartition(DELIMITER)[0] for name in found}
        for name in list(parents):
            if name:
                found.setdefault(name, False)
        rest = sorted(name for name in found if name != INBOX)
        return [MailboxEntry(name, found[name], name in parents, name in subscribed) for name in [INBOX, *rest]]

    def _walk(self, directory: str, prefix: str, found: dict[str, bool], depth: int) -> None:
        if depth > _DEPTH_LIMIT:
            return
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(".lock"):
                continue
            if entry.is_dir():
                level = entry.name.removesuffix(_CHILDREN)
                name = prefix + mutf7.decode(level)
                found.setdefault(name, False)
                self._walk(entry.path, name + DELIMITER, found, depth + 1)
            elif entry.is_file():
                name = prefix + mutf7.decode(entry.name)
                if name.upper() != INBOX:
                    found[name] = True

    def exists(self, name: str) -> bool:
        name = self._canonical(name)
        return name == INBOX or os.path.isfile(self._path(name))

    def create(self, name: str) -> None:
        name = self._canonical(name)
        path = self._path(name)
        if self.exists(name) or os.path.isdir(path):
            raise MailboxExists(f'mailbox "{name}" exists already')
        self._make_directory(self._control)
        self._make_directory(os.path.dirname(path))
        file = self._mbox_file(name, path)
        file.forget()  # notes of one that another program removed
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            sync_directory(os.path.dirname(path))
        except FileExistsError:
            raise MailboxExists(f'mailbox "{name}" exists already') from None
        except OSError as error:
            raise store_error(error, f'cannot create mailbox "{name}"') from error

    def delete(self, name: str) -> None:
        name = self._canonical(name)
        if name == INBOX:
            raise NotPossible("INBOX cannot be deleted")
        file = self._file(name)
        try:
            os.unlink(file.path)
            sync_directory(os.path.dirname(file.path))
        except OSError as error:
            raise store_error(error, f'cannot delete mailbox "{name}"') from error
        file.forget()

    def rename(self, old: str, new: str) -> None:
        old, new = self._canonical(old), self._canonical(new)
        patience.give_way()
        if self.exists(new) or os.path.isdir(self._path(new)):
            raise MailboxExists(f'mailbox "{new}" exists already')
        if new.startswith(old + DELIMITER):
            raise NotPossible("a mailbox cannot be moved below itself")
        if old == INBOX:
            self.create(new)
            with self.open(INBOX) as inbox:
                inbox.move([message.uid for message in inbox.messages], new)
            return
        affected = [entry.name for entry in self.list() if entry.name == old or entry.name.startswith(old + DELIMITER)]
        affected = [name for name in affected if self.exists(name)]
        if not affected:
            raise MailboxNotFound(f'no mailbox "{old}"')
        try:
            for name in affected:
                target = new + name[len(old) :]
                before, after = self._file(name), self._mbox_file(target, self._path(target))
                self._make_directory(os.path.dirname(after.path))
                with before.locked():
                    before.rename_notes(after)
                    os.rename(before.path, after.path)
                sync_directory(os.path.dirname(after.path))
            self._remove_empty(self._directory(old.split(DELIMITER)))
        except OSError as error:
            raise store_error(error, f'cannot rename mailbox "{old}"') from error

    def _remove_empty(self, directory: str) -> None:
        if os.path.isdir(directory) and not any(files for _, _, files in os.walk(directory)):
            shutil.rmtree(directory, ignore_errors=True)

    # --- subscriptions

    def subscriptions(self) -> tuple[str, ...]:
        try:
            with open(f"{self._control}/subscriptions", "rb", opener=without_waiting) as file:
                return parse_subscriptions(file.read(1 << 22).decode("utf-8", "replace"))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise store_error(error, "cannot read subscriptions") from error

    def subscribe(self, name: str, wanted: bool) -> None:
        name = self._canonical(name)
        self._make_directory(self._control)
        path = f"{self._control}/subscriptions"
        with dot_lock(f"{path}.lock"):
            names = self.subscriptions()
            if (name in names) != wanted:
                names = (*names, name) if wanted else tuple(other for other in names if other != name)
                try:
                    write_file(path, format_subscriptions(names).encode(), 0o600)
                except OSError as error:
                    raise store_error(error, "cannot write subscriptions") from error

    # --- mailboxes

    def open(self, name: str, read_only: bool = False) -> MboxMailbox:
        file = self._file(name)
        self._finish_move()
        return MboxMailbox(self._canonical(name), file, read_only, self._file)

    def _finish_move(self) -> None:
        """Complete or drop a move that a dead process left (see `intent`)."""
        if is_noted(self._control):
            with moving(self._control, self._file):
                pass

    def status(self, name: str, with_size: bool = False) -> MailboxStatus:
        with self.open(name, read_only=True) as mailbox:
            counts = mailbox.messages.counts()
            return MailboxStatus(
                messages=counts.messages,
                recent=counts.recent,
                unseen=counts.unseen,
                deleted=counts.deleted,
                uid_next=mailbox.uid_next,
                uid_validity=mailbox.uid_validity,
                highest_modseq=mailbox.highest_modseq,
                size=sum(mailbox.size(uid) for uid in mailbox.messages.uids) if with_size else -1,
            )

    def begin_append(self, name: str) -> Appender:
        return MboxAppender(self._file(name))

    def restoring(self, name: str, identity: Identity, token: int | None = None) -> Restoring:
        return MboxRestoring(self._canonical(name), self._file(name), identity, token)

    def leave_out_uids(self, name: str, number: int) -> None:
        with self._file(name).locked() as state:
            state.index.next_uid += number
            state.head = state.durable = True

    def check(self, *, mend: bool) -> Iterator[Finding]:
        if mend:
            self._finish_move()
        for entry in self.list():
            if entry.selectable:
                yield from check_file(entry.name, self._file(entry.name), mend=mend)

    def _note(self, name: str, kind: NoteKind) -> str:
        # No mailbox's notes begin with "%" and a letter: the delimiter never stands first.
        return self._file(name).note_path(kind) if name else f"{self._control}/%account.{kind}"

    def note(self, name: str, kind: NoteKind) -> bytes:
        return notes.read(self._note(name, kind))

    def change_note(self, name: str, kind: NoteKind, change: Callable[[bytes], bytes]) -> None:
        self._make_directory(self._control)
        notes.change(self._note(name, kind), change)

    def watch_paths(self, name: str = "", *, notes: bool = False) -> tuple[str, ...]:
        # Directories of children come and go anywhere in the tree, and flags stand in the notes.
        return ()

    def session_lock(self, name: str) -> AbstractContextManager[None]:
        file = self._file(name)
        path = f"{file.journal.removesuffix('.journal')}.session"
        return session_lock(path)

    def close(self) -> None:
        pass


def _on_disk(level: str) -> str:
    try:
        return mutf7.encode(level)
    except UnicodeError:
        raise BadMailboxName("the mailbox name is not valid Unicode") from None
