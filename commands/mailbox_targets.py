"""Targets of a transfer: a store of any kind, mbox files, directories of single messages.

A batch that a dead process had begun is never stored twice: files are cut back to where it began, single messages have
names of their own, and in a store what arrived since is compared with the batch.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pillarbox.commands.mailbox_export_notes import ExportNotes
from pillarbox.commands.mailbox_message import Mark, Message, Opened, Unreadable, resemblance
from pillarbox.commands.mailbox_names import CHILDREN, ENDING, SIDECAR, distinct_name, file_name
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.interface import (
    DELIMITER,
    BadMailboxName,
    MailboxExists,
    MessageGone,
    NoteKind,
    NotPossible,
    Store,
)
from pillarbox.lib.store.keeping import Identity, Restoring
from pillarbox.lib.store.lines import to_lf
from pillarbox.lib.store.mbox.parse import status_lines
from pillarbox.lib.store.mbox.quoting import FromQuoter, from_line
from pillarbox.lib.system.files import sync_batch, sync_directory, write_all

QUOTING: Final = "mboxrd"
"""How exported mbox files quote: lines that begin with `From ` after any number of `>` get one more."""
_HOUR: Final = 3600
"""An mbox file has local times: in autumn one hour of them means two."""


class StoreTarget:
    """A store of any kind."""

    def __init__(self, store: Store) -> None:
        self.name = store.location
        self._store = store
        self._marks: dict[str, Mark] = {}
        self._validities: dict[int, str] | None = None

    def prepare(self, mailbox: str) -> str:
        try:
            exists = self._store.exists(mailbox)
        except BadMailboxName:
            mailbox = _possible(mailbox)
            exists = self._store.exists(mailbox)
        if not exists:
            try:
                self._store.create(mailbox)
            except MailboxExists:
                pass
        return mailbox

    def mark(self, mailbox: str) -> Mark:
        # One mark holds for all batches of this run: what the runs before stored has its UID by then.
        if mailbox not in self._marks:
            with self._store.open(mailbox) as opened:
                self._marks[mailbox] = [opened.uid_validity, opened.uid_next]
        return self._marks[mailbox]

    def missing(self, mailbox: str, mark: Mark, batch: Sequence[Opened], earlier: Mapping[bytes, int]) -> list[Opened]:
        dates = {int(opened.message.date) + shift for opened in batch for shift in (-_HOUR, 0, _HOUR)}
        arrived: Counter[bytes] = Counter()
        arrived.subtract(earlier)
        with self._store.open(mailbox) as now:
            first = mark[1] if now.uid_validity == mark[0] else 1
            for uid in now.messages.uids:
                try:
                    if uid >= first and int(now.internal_date(uid)) in dates:
                        with now.read(uid) as content:
                            arrived[resemblance(content)] += 1
                except MessageGone:
                    continue
        left = []
        for opened in batch:
            digest = resemblance(opened.content)
            if arrived[digest] > 0:
                arrived[digest] -= 1
            else:
                left.append(opened)
        return left

    def put(self, mailbox: str, batch: Sequence[Opened]) -> list[DeliveryFailure | None]:
        return self._store.deliver([_delivery(mailbox, opened) for opened in batch])

    def subscribe(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._store.subscribe(name, True)
            except BadMailboxName:
                self._store.subscribe(_possible(name), True)

    def set_note(self, mailbox: str, kind: NoteKind, note: bytes) -> None:
        try:
            self._store.change_note(mailbox, kind, lambda before: before or note)
        except NotPossible:
            pass

    def identify(self, mailbox: str, identity: Identity) -> bool:
        return False

    def restoring(self, mailbox: str, identity: Identity, token: int | None) -> Restoring | None:
        if token is None and self._is_elsewhere(mailbox, identity):
            return None
        filling = self._store.restoring(mailbox, identity, token)
        if self._validities is not None:
            self._validities[identity.uid_validity] = mailbox
        return filling

    def _is_elsewhere(self, mailbox: str, identity: Identity) -> bool:
        """Whether the account has it under another name already: there cannot be two of it (RFC 8474 section 4)."""
        if self._validities is None:
            names = [entry.name for entry in self._store.list() if entry.selectable]
            self._validities = {self._store.status(name).uid_validity: name for name in names}
        other = self._validities.get(identity.uid_validity, mailbox)
        if other == mailbox or not self._store.exists(other):
            return False
        with self._store.open(other, read_only=True) as opened:
            if (opened.uid_validity, opened.mailbox_id) != (identity.uid_validity, identity.mailbox_id):
                return False
            if opened.messages:
                return True
        # It is empty and has this number by chance: it is given another, as for being filled.
        self._store.restoring(other, identity)
        with self._store.open(other, read_only=True) as opened:
            return opened.mailbox_id == identity.mailbox_id

    def uid_validity(self, mailbox: str) -> int:
        return self._store.status(mailbox).uid_validity


def _delivery(mailbox: str, opened: Opened) -> Delivery:
    message = opened.message
    return Delivery(opened.pieces, mailbox, message.wire_flags(), date=message.date)


def _possible(name: str) -> str:
    """A name that every store can have, for one that this store cannot."""
    levels = []
    for level in name.split(DELIMITER):
        text = "".join(each if each.isprintable() and each not in ".\\" else "_" for each in level)
        levels.append(text.removesuffix(".sbd")[:60] or "_")
    return DELIMITER.join(levels)


class _Directory:
    """Files of messages, and beside them what else is known of the account."""

    def __init__(self, root: str) -> None:
        self.name = root
        self._root = root
        self._opened: ExportNotes | None = None
        self._paths: dict[str, str] = {}
        self._identified: set[str] = set()
        """Mailboxes whose messages are written with their UIDs."""

    @property
    def _notes(self) -> ExportNotes:
        if self._opened is None:
            os.makedirs(self._root, 0o700, exist_ok=True)
            self._opened = ExportNotes(self._root)
        return self._opened

    def subscribe(self, names: Iterable[str]) -> None:
        self._notes.set_subscriptions(list(names))

    def set_note(self, mailbox: str, kind: NoteKind, note: bytes) -> None:
        self._notes.set_note(mailbox, kind, note)

    def identify(self, mailbox: str, identity: Identity) -> bool:
        known = self._notes.identity(mailbox)
        if known is None and not self._empty(mailbox):
            return False
        if known is not None and known.uid_validity != identity.uid_validity:
            return False
        self._notes.set_identity(mailbox, identity)
        self._identified.add(mailbox)
        return True

    def _empty(self, mailbox: str) -> bool:
        raise NotImplementedError

    def restoring(self, mailbox: str, identity: Identity, token: int | None) -> Restoring | None:
        return None

    def uid_validity(self, mailbox: str) -> int:
        return 0


def _distinct(directory: str, level: str) -> str:
    """The file name of a level below a directory, whatever else is there already."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        names = []
    return distinct_name(level, {name.removesuffix(CHILDREN) for name in names if not name.endswith(ENDING)})


class MboxTarget(_Directory):
    """Mbox files below a directory: a file for each mailbox, its children in the directory NAME.sbd."""

    def _path(self, mailbox: str) -> str:
        if mailbox not in self._paths:
            *parents, last = mailbox.split(DELIMITER)
            path = self._root
            for level in parents:
                path = f"{path}/{_distinct(path, level)}{CHILDREN}"
            self._paths[mailbox] = f"{path}/{_distinct(path, last)}"
        return self._paths[mailbox]

    def prepare(self, mailbox: str) -> str:
        path = self._path(mailbox)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        sync_directory(os.path.dirname(path))
        if self._empty(mailbox):
            self._notes.set_quoting(QUOTING)
        return mailbox

    def _empty(self, mailbox: str) -> bool:
        return not os.stat(self._path(mailbox)).st_size

    def mark(self, mailbox: str) -> Mark:
        return [os.stat(self._path(mailbox)).st_size]

    def missing(self, mailbox: str, mark: Mark, batch: Sequence[Opened], earlier: Mapping[bytes, int]) -> list[Opened]:
        if os.stat(self._path(mailbox)).st_size > mark[0]:
            os.truncate(self._path(mailbox), mark[0])
        return list(batch)

    def _uid_lines(self, mailbox: str, message: Message, first: bool) -> bytes:
        """What UW's and Dovecot's servers write so that the file keeps its UIDs."""
        if mailbox not in self._identified or not message.uid:
            return b""
        identity = self._notes.identity(mailbox) if first else None
        base = f"X-IMAPbase: {identity.uid_validity} {identity.uid_next - 1:010d}\n" if identity is not None else ""
        return f"{base}X-UID: {message.uid}\n".encode()

    def put(self, mailbox: str, batch: Sequence[Opened]) -> list[DeliveryFailure | None]:
        outcomes: list[DeliveryFailure | None] = []
        fd = os.open(self._path(mailbox), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            before = os.fstat(fd).st_size
            try:
                for opened in batch:
                    start = os.fstat(fd).st_size
                    try:
                        _write_mbox(fd, opened, self._uid_lines(mailbox, opened.message, first=not start))
                        outcomes.append(None)
                    except Unreadable as error:
                        os.ftruncate(fd, start)
                        outcomes.append(from_os_error(error, "cannot read message"))
                os.fsync(fd)
            except BaseException:
                os.ftruncate(fd, before)
                raise
        finally:
            os.close(fd)
        return outcomes


def _write_mbox(fd: int, opened: Opened, uid_lines: bytes) -> None:
    message = opened.message
    write_all(fd, from_line("", message.date) + uid_lines + status_lines(message.flags, message.keywords))
    quoter, last = FromQuoter(again=True), b"\n"
    for piece in to_lf(opened.pieces()):
        if data := quoter.feed(piece):
            write_all(fd, data)
            last = data[-1:]
    if data := quoter.finish():
        write_all(fd, data)
        last = data[-1:]
    write_all(fd, b"\n" if last == b"\n" else b"\n\n")


class EmlTarget(_Directory):
    """A directory for each mailbox, a file for each message with CRLF line ends, and what else is known in SIDECAR."""

    def _path(self, mailbox: str) -> str:
        if mailbox not in self._paths:
            path = self._root
            for level in mailbox.split(DELIMITER):
                path = f"{path}/{_distinct(path, level)}"
            self._paths[mailbox] = path
        return self._paths[mailbox]

    def prepare(self, mailbox: str) -> str:
        path = self._path(mailbox)
        os.makedirs(path, 0o700, exist_ok=True)
        os.close(os.open(f"{path}/{SIDECAR}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        return mailbox

    def _empty(self, mailbox: str) -> bool:
        return not os.stat(f"{self._path(mailbox)}/{SIDECAR}").st_size

    def mark(self, mailbox: str) -> Mark:
        return [os.stat(f"{self._path(mailbox)}/{SIDECAR}").st_size]

    def missing(self, mailbox: str, mark: Mark, batch: Sequence[Opened], earlier: Mapping[bytes, int]) -> list[Opened]:
        sidecar = f"{self._path(mailbox)}/{SIDECAR}"
        if os.stat(sidecar).st_size > mark[0]:
            os.truncate(sidecar, mark[0])
        return list(batch)  # written again, each under the name that it had

    def put(self, mailbox: str, batch: Sequence[Opened]) -> list[DeliveryFailure | None]:
        directory = self._path(mailbox)
        outcomes: list[DeliveryFailure | None] = []
        lines = b""
        made: list[tuple[str, str]] = []
        files: list[int] = []
        try:
            for opened in batch:
                key = opened.message.key
                name = f"{key:010d}{ENDING}" if isinstance(key, int) else file_name(key)
                temporary = f"{directory}/.{name}.new"
                try:
                    files.append(_written(temporary, opened))
                except Unreadable as error:
                    outcomes.append(from_os_error(error, "cannot read message"))
                    continue
                made.append((temporary, f"{directory}/{name}"))
                lines += json.dumps(self._about(mailbox, name, opened.message)).encode() + b"\n"
                outcomes.append(None)
            sync_batch(files)
        except BaseException:
            for temporary, _ in made:
                os.unlink(temporary)
            raise
        finally:
            for fd in files:
                os.close(fd)
        for temporary, path in made:
            os.rename(temporary, path)
        fd = os.open(f"{directory}/{SIDECAR}", os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            write_all(fd, lines)
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(directory)
        return outcomes

    def _about(self, mailbox: str, name: str, message: Message) -> dict[str, object]:
        about: dict[str, object] = {"file": name, "flags": message.wire_flags(), "date": message.date}
        if mailbox in self._identified and message.uid:
            about["uid"] = message.uid
            if message.saved is not None:
                about["saved"] = message.saved
            if message.uidl:
                about["uidl"] = message.uidl
        return about


def _written(path: str, opened: Opened) -> int:
    """A new file with the message; its descriptor."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for piece in opened.pieces():
            write_all(fd, piece)
        os.utime(fd, (opened.message.date, opened.message.date))
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd
