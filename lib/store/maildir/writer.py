"""Delivery into Maildirs, a batch at a time: the hot path of `virtual`.

Promises: a message for which `deliver` gives no failure is on disk under its final name in `new/`, file and
directory synced.  A failure leaves nothing behind but, after a crash, a file in `tmp/`, which nobody reads.
One message's failure does not touch the others of the batch, except that of the sync itself.

The syncs of a batch are shared: write-back starts on all files, then each is waited for, then every directory that got
a name is synced once.  No content larger than one chunk is ever in memory.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from pillarbox.lib.store.delivering import NoSuchFolder, split_flags
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.interface import DELIMITER, INBOX, StoreError
from pillarbox.lib.store.lines import CHUNK, WireCounter, wire_size
from pillarbox.lib.store.maildir import folders
from pillarbox.lib.store.maildir.directories import make_folder, make_maildir
from pillarbox.lib.store.maildir.filename import INFO, final_base, format_info, temporary_name
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.quota import FROM_FILE, Quota
from pillarbox.lib.system.files import sync_batch, sync_directory, write_all

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class MaildirDelivery:
    """One message for one mailbox of the Maildir++ tree at `maildir`.

    `header` is what the agent prepends (Return-Path, X-Original-To, Delivered-To), each line ended by LF; the
    content is the bytes [offset, offset+length) of `fd`, LF line ends, read with pread only.
    """

    maildir: str
    header: bytes
    fd: int
    offset: int
    length: int
    chunks: Callable[[], Iterable[bytes]] | None = None
    """Gives the content, where it does not stand like that in the file; a `length` of -1: nobody knows how much."""
    folder: str = ""
    """The mailbox as IMAP names it, `.` or `/` between its levels; "" or INBOX: the Maildir itself."""
    flags: tuple[str, ...] = ()
    """As on the wire: `\\Seen`, `$label`.  What cannot be kept (`\\Recent`, a 27th keyword) is left out."""
    create: bool = False
    """Make the folder where there is none; else `NoSuchFolder` is the result."""
    quota: Quota = FROM_FILE
    """What must not be exceeded: 4.2.2 or 5.2.2 is the result."""
    date: float | None = None
    """The internal date, None for now."""


class _Account:
    """What one batch brings to one account; `ledger` is None where nobody counts."""

    __slots__ = ("ledger", "messages", "size")

    def __init__(self, maildir: str, quota: Quota) -> None:
        ledger = Ledger(maildir, quota)
        self.ledger = ledger if ledger.active() else None
        self.size = self.messages = 0

    def admit(self, folder: str, size: int) -> None:
        """Raises DeliveryFailure where there is no room for one more message, OSError."""
        if self.ledger is None:
            return
        if why := self.ledger.lacks(folder, self.size + size, self.messages + 1):
            raise DeliveryFailure("4.2.2" if self.ledger.quota.tempfail else "5.2.2", f"mailbox is full: {why}")
        if self.ledger.counts(folder):
            self.size += size
            self.messages += 1


class _Pending:
    __slots__ = ("account", "directory", "fd", "final", "folder", "size", "temporary")

    def __init__(self, directory: str, fd: int, temporary: str) -> None:
        self.directory = directory
        """Where the final name will stand: `new` or `cur` of the mailbox."""
        self.fd = fd
        self.temporary = temporary
        self.final = ""
        self.account: _Account | None = None
        self.folder = INBOX
        self.size = 0


class MaildirWriter:
    """Delivers batches.  Keeps nothing between them but the last small content (one message, several recipients)."""

    def __init__(self) -> None:
        self._known: tuple[int, int, int] = (-1, 0, 0)
        self._content = b""
        self._accounts: dict[str, _Account] = {}

    def deliver(self, batch: Sequence[MaildirDelivery]) -> list[DeliveryFailure | None]:
        """Store each message; the result at the same index is None for stored, else why not."""
        outcome: list[DeliveryFailure | None] = [None] * len(batch)
        pending: list[tuple[int, _Pending]] = []
        try:
            for index, delivery in enumerate(batch):
                try:
                    pending.append((index, self._write(delivery)))
                except DeliveryFailure as failure:
                    outcome[index] = failure
                except EOFError as error:
                    outcome[index] = DeliveryFailure("4.3.0", f"cannot read the message: {error}")
                except OSError as error:
                    outcome[index] = from_os_error(error, f"create maildir file in {delivery.maildir}")
            if pending:
                self._finish(pending, outcome)
        finally:
            self._known = (-1, 0, 0)
            self._content = b""
            self._accounts.clear()
            for _, item in pending:
                os.close(item.fd)
        return outcome

    def _write(self, delivery: MaildirDelivery) -> _Pending:
        folder, maildir = _mailbox(delivery) if delivery.folder else (INBOX, delivery.maildir)
        account = self._accounts.get(delivery.maildir)
        if account is None:
            account = self._accounts[delivery.maildir] = _Account(delivery.maildir, delivery.quota)
        temporary = f"{maildir}/tmp/{temporary_name()}"
        try:
            fd = os.open(temporary, _CREATE, 0o600)
        except FileNotFoundError:
            make_maildir(maildir)
            fd = os.open(temporary, _CREATE, 0o600)
        try:
            if delivery.length >= 0:
                account.admit(folder, len(delivery.header) + delivery.length)
            stored, wire = self._copy(delivery, fd)
            if delivery.length < 0:
                account.admit(folder, stored)
            if delivery.date is not None:
                os.utime(fd, (delivery.date, delivery.date))
            about = os.fstat(fd)
            info = _info(maildir, delivery.flags) if delivery.flags else ""
        except BaseException:
            os.close(fd)
            _remove(temporary)
            raise
        # Only a message without flags may lie in new/, where no flags can be.
        item = _Pending(f"{maildir}/cur" if info else f"{maildir}/new", fd, temporary)
        item.account, item.folder, item.size = account, folder, stored
        item.final = f"{item.directory}/{final_base(about.st_dev, about.st_ino, time.time_ns(), stored, wire)}{info}"
        return item

    def _copy(self, delivery: MaildirDelivery, fd: int) -> tuple[int, int]:
        if delivery.chunks is not None:
            return self._copy_pieces(delivery.header, delivery.chunks(), fd)
        if delivery.length > CHUNK:
            return self._copy_large(delivery, fd)
        key = (delivery.fd, delivery.offset, delivery.length)
        if key != self._known:
            self._content = os.pread(delivery.fd, delivery.length, delivery.offset)
            self._known = key
        content = self._content
        if len(content) != delivery.length:
            raise OSError(errno.EIO, "the queue file is shorter than announced")
        header = delivery.header
        size = len(header) + len(content)
        written = os.writev(fd, (header, content))
        if written < size:
            write_all(fd, (header + content)[written:])
        return size, len(header) + header.count(b"\n") + wire_size(content)

    def _copy_large(self, delivery: MaildirDelivery, fd: int) -> tuple[int, int]:
        return self._copy_pieces(delivery.header, _pieces(delivery), fd)

    def _copy_pieces(self, header: bytes, pieces: Iterable[bytes], fd: int) -> tuple[int, int]:
        counter = WireCounter()
        for data in chain((header,), pieces):
            counter.feed(data)
            write_all(fd, data)
        return counter.stored, counter.wire

    def _finish(self, pending: list[tuple[int, _Pending]], outcome: list[DeliveryFailure | None]) -> None:
        """Sync, give the final names, sync the directories."""
        try:
            sync_batch([item.fd for _, item in pending])
        except OSError as error:
            failure = from_os_error(error, "sync maildir file")
            for index, item in pending:
                outcome[index] = failure
                _remove(item.temporary)
            return
        in_directory: dict[str, list[tuple[int, _Pending]]] = {}
        for index, item in pending:
            try:
                os.rename(item.temporary, item.final)
            except OSError as error:
                outcome[index] = from_os_error(error, f"create maildir file {item.final}")
                _remove(item.temporary)
            else:
                in_directory.setdefault(item.directory, []).append((index, item))
        _account_for([item for items in in_directory.values() for _, item in items])
        for directory, items in in_directory.items():
            try:
                sync_directory(directory)
            except OSError as error:
                # The messages may or may not survive a power loss: better twice than never.
                for index, _ in items:
                    outcome[index] = from_os_error(error, f"sync {directory}")


def _account_for(stored: Iterable[_Pending]) -> None:
    """Note what has come, a line for each mailbox of the batch."""
    sums: dict[tuple[Ledger, str], list[int]] = {}
    for item in stored:
        if item.account is not None and item.account.ledger is not None:
            total = sums.setdefault((item.account.ledger, item.folder), [0, 0])
            total[0] += item.size
            total[1] += 1
    for (ledger, folder), (size, messages) in sums.items():
        try:
            ledger.add(folder, size, messages)
        except OSError:
            pass  # the mail is there; the next count will find it


def _mailbox(delivery: MaildirDelivery) -> tuple[str, str]:
    """Name and directory of the delivery's folder, which is made where that is wanted.

    Raises NoSuchFolder, OSError.
    """
    try:
        canonical = folders.canonical(delivery.folder.replace(".", DELIMITER))
        name = folders.directory_name(canonical)
    except StoreError as error:
        raise NoSuchFolder("5.2.0", f'cannot deliver to folder "{delivery.folder}": {error}') from None
    if not name:
        return INBOX, delivery.maildir
    path = f"{delivery.maildir}/{name}"
    if not os.path.isdir(path):
        if not delivery.create:
            raise NoSuchFolder("4.2.0", f'no folder "{delivery.folder}"')
        make_folder(delivery.maildir, name)
    return canonical, path


def _info(directory: str, flags: Sequence[str]) -> str:
    """What stands behind the base name for these flags; "" for none that can be kept.  Raises DeliveryFailure."""
    bits, words = split_flags(flags)
    letters = ""
    if words:
        keywords = Keywords(directory)
        try:
            keywords.reload()
            letters = keywords.letters(words, create=True)
        except StoreError as error:
            raise DeliveryFailure("4.2.0", f"cannot set keywords in {directory}: {error}") from error
    return f"{INFO}{format_info(bits, letters)}" if bits or letters else ""


def _pieces(delivery: MaildirDelivery) -> Iterator[bytes]:
    position = delivery.offset
    end = delivery.offset + delivery.length
    while position < end:
        data = os.pread(delivery.fd, min(CHUNK, end - position), position)
        if not data:
            raise OSError(errno.EIO, "the queue file is shorter than announced")
        yield data
        position += len(data)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
