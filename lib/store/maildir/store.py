"""All mailboxes of an account in one Maildir++ tree."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress

from pillarbox.lib.store import notes, patience
from pillarbox.lib.store.delivering import Delivery, Outcomes
from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.index.file import IndexFile, peek
from pillarbox.lib.store.interface import (
    DELIMITER,
    INBOX,
    Appender,
    Mailbox,
    MailboxEntry,
    MailboxExists,
    MailboxNotFound,
    MailboxStatus,
    MessageGone,
    NoteKind,
    NotPossible,
    OverQuota,
    QuotaRoot,
    Store,
)
from pillarbox.lib.store.keeping import Identity, Restoring
from pillarbox.lib.store.lines import to_lf
from pillarbox.lib.store.listing import entries
from pillarbox.lib.store.locks import (
    LOCK_TIMEOUT,
    STALE_AFTER,
    acquire_dot_lock,
    dot_lock,
    release_dot_lock,
    session_lock,
)
from pillarbox.lib.store.maildir import folders, uidlist
from pillarbox.lib.store.maildir.append import MaildirAppender, store_error
from pillarbox.lib.store.maildir.checking import INDEX, check_tree
from pillarbox.lib.store.maildir.directories import make_folder, make_maildir
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.mailbox import MANY, TEXT_NAME, MaildirMailbox
from pillarbox.lib.store.maildir.restored import is_older
from pillarbox.lib.store.maildir.restoring import MaildirRestoring
from pillarbox.lib.store.maildir.scan import Directories
from pillarbox.lib.store.maildir.state import UidStates
from pillarbox.lib.store.maildir.sync import is_stale
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.lib.store.quota import FROM_FILE, Quota
from pillarbox.lib.store.text.file import throw_away
from pillarbox.lib.system.files import sync_directory, without_waiting, write_file

_SUBSCRIPTIONS = "subscriptions"
_MAX_SUBSCRIPTIONS = 1 << 22


class MaildirStore(Store):
    """The account at `root`; INBOX is made when first asked for."""

    def __init__(self, root: str, quota: Quota = FROM_FILE) -> None:
        self.location = f"maildir:{root}"
        self._root = root.rstrip("/")
        self._states = UidStates(self._root)
        self._ledger = Ledger(self._root, quota)
        self._quota = quota

    def _directory(self, name: str) -> str:
        """The Maildir of an existing mailbox.  Raises MailboxNotFound, BadMailboxName."""
        name = folders.canonical(name)
        if name == INBOX:
            self._make_inbox()
            return self._root
        path = f"{self._root}/{folders.directory_name(name)}"
        if not os.path.isdir(f"{path}/cur"):
            if os.path.isdir(path):
                self._make(path)  # a folder that another program only began
            else:
                raise MailboxNotFound(f'no mailbox "{name}"')
        return path

    @property
    def scratch_directory(self) -> str:
        return f"{self._root}/tmp"

    def _make_inbox(self) -> None:
        if not os.path.isdir(f"{self._root}/cur"):
            self._make(self._root)

    def _make(self, path: str) -> None:
        try:
            make_maildir(path)
        except OSError as error:
            raise store_error(error, f"cannot make {path}") from error

    def list(self) -> list[MailboxEntry]:
        try:
            existing = set(folders.list_folders(self._root))
        except OSError as error:
            raise store_error(error, "cannot list mailboxes") from error
        return entries(existing, set(self.subscriptions()))

    def exists(self, name: str) -> bool:
        name = folders.canonical(name)
        return name == INBOX or os.path.isdir(f"{self._root}/{folders.directory_name(name)}")

    def create(self, name: str) -> None:
        name = folders.canonical(name)
        self._make_inbox()
        try:
            made = not self.exists(name) and make_folder(self._root, folders.directory_name(name))
        except OSError as error:
            raise store_error(error, f'cannot create mailbox "{name}"') from error
        if not made:
            raise MailboxExists(f'mailbox "{name}" exists already')

    def delete(self, name: str) -> None:
        name = folders.canonical(name)
        if name == INBOX:
            raise NotPossible("INBOX cannot be deleted")
        patience.give_way()
        aside = f"{self._root}/{folders.REMOVED}{secrets.token_hex(8)}"
        try:
            _rename_still(f"{self._root}/{folders.directory_name(name)}", aside)
            sync_directory(self._root)
        except FileNotFoundError:
            raise MailboxNotFound(f'no mailbox "{name}"') from None
        except OSError as error:
            raise store_error(error, f'cannot delete mailbox "{name}"') from error
        self._clear_removed()
        self._recount()

    def _recount(self) -> None:
        """After a whole folder went, or is called what other rules hold for."""
        try:
            self._ledger.recount()
        except OSError:
            pass  # the count is made again in time

    def _clear_removed(self) -> None:
        """Remove what a deletion, this one or one that was interrupted, has put aside."""
        for entry in os.listdir(self._root):
            if entry.startswith(folders.REMOVED):
                shutil.rmtree(f"{self._root}/{entry}", ignore_errors=True)

    def rename(self, old: str, new: str) -> None:
        old, new = folders.canonical(old), folders.canonical(new)
        patience.give_way()
        if self.exists(new):
            raise MailboxExists(f'mailbox "{new}" exists already')
        if new.startswith(old + DELIMITER):
            raise NotPossible("a mailbox cannot be moved below itself")
        if old == INBOX:
            self.create(new)
            with self.open(INBOX) as inbox:
                inbox.move([message.uid for message in inbox.messages], new)
            return
        try:
            affected = [
                name for name in folders.list_folders(self._root) if name == old or name.startswith(old + DELIMITER)
            ]
            if not affected:
                raise MailboxNotFound(f'no mailbox "{old}"')
            targets = [new + name[len(old) :] for name in affected]
            paths = [f"{self._root}/{folders.directory_name(name)}" for name in targets]
            if any(os.path.exists(path) for path in paths):
                raise MailboxExists(f'a mailbox below "{new}" exists already')
            for name, path in sorted(zip(affected, paths, strict=True), reverse=True):
                _rename_still(f"{self._root}/{folders.directory_name(name)}", path)
            sync_directory(self._root)
        except OSError as error:
            raise store_error(error, f'cannot rename mailbox "{old}"') from error
        if self._ledger.quota.rules:
            self._recount()

    def subscriptions(self) -> tuple[str, ...]:
        return self._read_subscriptions()

    def _read_subscriptions(self) -> tuple[str, ...]:
        try:
            with open(f"{self._root}/{_SUBSCRIPTIONS}", "rb", opener=without_waiting) as file:
                return folders.parse_subscriptions(file.read(_MAX_SUBSCRIPTIONS).decode("utf-8", "replace"))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise store_error(error, "cannot read subscriptions") from error

    def subscribe(self, name: str, wanted: bool) -> None:
        name = folders.canonical(name)
        self._make_inbox()
        path = f"{self._root}/{_SUBSCRIPTIONS}"
        with dot_lock(f"{path}.lock"):
            names = self._read_subscriptions()
            if (name in names) == wanted:
                return
            names = (*names, name) if wanted else tuple(other for other in names if other != name)
            try:
                write_file(path, folders.format_subscriptions(names).encode(), 0o600)
            except OSError as error:
                raise store_error(error, "cannot write subscriptions") from error

    def open(self, name: str, read_only: bool = False) -> MaildirMailbox:
        directory = self._directory(name)
        canonical = folders.canonical(name)
        return MaildirMailbox(canonical, directory, self._states, read_only, self._directory, self._ledger)

    def status(self, name: str, with_size: bool = False) -> MailboxStatus:
        return _status(self._directory(name), with_size) or self._look(name, with_size)

    def _look(self, name: str, with_size: bool) -> MailboxStatus:
        """The counts where the index does not have them."""
        with self.open(name, read_only=True) as mailbox:
            counts = mailbox.messages.counts()
            if with_size and counts.messages > MANY:
                patience.give_way()  # those may have to be read whose size is not known
            return MailboxStatus(
                messages=counts.messages,
                recent=counts.recent,
                unseen=counts.unseen,
                deleted=counts.deleted,
                uid_next=mailbox.uid_next,
                uid_validity=mailbox.uid_validity,
                highest_modseq=mailbox.highest_modseq,
                size=_size(mailbox) if with_size else -1,
            )

    def begin_append(self, name: str) -> Appender:
        return MaildirAppender(folders.canonical(name), self._directory(name), self._states, self._ledger)

    def deliver(self, batch: Sequence[Delivery]) -> Outcomes:
        return MaildirWriter().deliver([self._write_of(delivery) for delivery in batch])

    def _write_of(self, delivery: Delivery) -> MaildirDelivery:
        return MaildirDelivery(
            self._root,
            b"",
            fd=-1,
            offset=0,
            length=-1,
            chunks=lambda: to_lf(delivery.content()),
            folder=delivery.mailbox,
            flags=delivery.flags,
            create=delivery.create,
            quota=self._quota,
            date=delivery.date,
        )

    def restoring(self, name: str, identity: Identity, token: int | None = None) -> Restoring:
        return MaildirRestoring(
            folders.canonical(name), self._directory(name), self._root, self._ledger, identity, token
        )

    def leave_out_uids(self, name: str, number: int) -> None:
        directory = self._directory(name)
        self._states.of(directory).leave_out(number)
        for each in INDEX:
            with suppress(FileNotFoundError):
                os.unlink(f"{directory}/{each}")
        throw_away(f"{directory}/{TEXT_NAME}")

    def check(self, *, mend: bool) -> Iterator[Finding]:
        for entry in self.list():
            directory = f"{self._root}/{folders.directory_name(entry.name)}".rstrip("/")
            if entry.selectable and is_older(directory):
                if mend:  # before the index, which knows more, is thrown away
                    mailbox = self.open(entry.name)
                    mailbox.look()
                    mailbox.close()
                    self._states.of(directory).leave_out(0)
                what = f"{uidlist.NAME} is older than the index: it was put back from a backup"
                yield Finding(entry.name, what, mended=mend)
        yield from check_tree(self._root, mend=mend)
        if mend:
            self._recount()

    def lacks(self, name: str, size: int) -> str:
        try:
            return self._ledger.lacks(folders.canonical(name), size)
        except OSError as error:
            raise store_error(error, "cannot read the quota") from error

    def quota_roots(self, name: str) -> tuple[QuotaRoot, ...]:
        folder = folders.canonical(name) if name else ""
        if folder and not self.exists(folder):
            raise MailboxNotFound(f'no mailbox "{folder}"')
        try:
            return self._ledger.roots() if not folder or self._ledger.counts(folder) else ()
        except OSError as error:
            raise store_error(error, "cannot read the quota") from error

    def _note(self, name: str, kind: NoteKind) -> str:
        return f"{self._directory(name)}/{notes.MAILBOX[kind]}" if name else f"{self._root}/{notes.ACCOUNT[kind]}"

    def note(self, name: str, kind: NoteKind) -> bytes:
        return notes.read(self._note(name, kind))

    def change_note(self, name: str, kind: NoteKind, change: Callable[[bytes], bytes]) -> None:
        if not name:
            self._make_inbox()
        notes.change(self._note(name, kind), change)

    def watch_paths(self, name: str = "", *, notes: bool = False) -> tuple[str, ...]:
        if not name:
            self._make_inbox()
            return (self._root,)
        directory = self._directory(name)
        places = (f"{directory}/new", f"{directory}/cur")
        return (*places, directory) if notes else places

    def session_lock(self, name: str) -> AbstractContextManager[None]:
        path = f"{self._directory(name)}/pillarbox-session.lock"
        return session_lock(path, lambda error: store_error(error, "cannot lock mailbox"))

    def close(self) -> None:
        pass


def _rename_still(path: str, target: str) -> None:
    """Rename a folder while nobody changes index or UIDs there, who would go on in the next one of that name.

    Raises OSError, MailboxBusy, StoreUnavailable.
    """
    os.lstat(path)
    with ExitStack() as held:
        with suppress(OSError):  # it cannot be written: neither can others
            held.enter_context(IndexFile(path, f"{path}/tmp").locked())
        now = path
        with suppress(OverQuota):
            acquire_dot_lock(f"{path}/{uidlist.NAME}.lock", LOCK_TIMEOUT, STALE_AFTER)
            held.callback(lambda: release_dot_lock(f"{now}/{uidlist.NAME}.lock"))
        os.rename(path, target)
        now = target


def _size(mailbox: Mailbox) -> int:
    """The sum of the sizes."""
    messages = mailbox.messages
    total = 0
    for uid, size in zip(list(messages.uids), list(messages.sizes()), strict=True):
        try:
            total += size if size >= 0 else mailbox.size(uid)
        except MessageGone:
            continue
    return total


def _status(directory: str, with_size: bool) -> MailboxStatus | None:
    """What the index says, if it is right about the directory as it is now."""
    known = peek(directory)
    if known is None:
        return None
    header, state = known
    if (with_size and state.unsized) or is_stale(state, Directories(directory).stamps()):
        return None
    return MailboxStatus(
        messages=state.messages,
        recent=state.fresh,
        unseen=state.unseen,
        deleted=state.deleted,
        uid_next=state.uid_next,
        uid_validity=header.uid_validity,
        highest_modseq=state.modseq,
        size=state.size if with_size else -1,
    )
