"""Storing a message in a Maildir with a known UID: tmp/, sync, UID written down, then its final name."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Appended,
    Appender,
    MailboxNotFound,
    OverQuota,
    StoreError,
    StoreUnavailable,
)
from pillarbox.lib.store.lines import ToLF, WireCounter
from pillarbox.lib.store.maildir.arrivals import Arrival, Arrivals
from pillarbox.lib.store.maildir.filename import INFO, final_base, format_info, temporary_name
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.state import UidStates
from pillarbox.lib.system.files import sync_directory, write_all

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def store_error(error: OSError, what: str) -> StoreError:
    """A system call's error in the store's terms."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OverQuota(f"{what}: {error.strerror}")
    if error.errno == errno.ENOENT:
        return MailboxNotFound("the mailbox was deleted")
    return StoreUnavailable(f"{what}: {error.strerror}")


class MaildirAppender(Appender):
    """One message on its way into `directory`."""

    def __init__(self, name: str, directory: str, states: UidStates, ledger: Ledger) -> None:
        """Raises MailboxNotFound, OverQuota, StoreUnavailable."""
        self._name = name
        self._ledger = ledger
        self._directory = directory
        self._states = states
        self._temporary = f"{directory}/tmp/{temporary_name()}"
        self._convert = ToLF()
        self._count = WireCounter()
        self._synced: tuple[int, float | None] = (-1, None)
        try:
            self._fd = os.open(self._temporary, _CREATE, 0o600)
        except OSError as error:
            raise store_error(error, "cannot store message") from error

    def write(self, data: bytes) -> None:
        self._write(self._convert.feed(data))

    def _write(self, data: bytes) -> None:
        self._count.feed(data)
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise store_error(error, "cannot store message") from error

    def sync(self, internal_date: float | None = None) -> None:
        if self._fd < 0:
            return
        try:
            if internal_date is not None:
                os.utime(self._fd, (internal_date, internal_date))
            os.fsync(self._fd)
        except OSError as error:
            raise store_error(error, "cannot store message") from error
        self._synced = self._count.stored, internal_date

    def commit(
        self, flags: int = 0, keywords: Collection[str] = NO_KEYWORDS, internal_date: float | None = None
    ) -> Appended:
        if self._fd < 0:
            raise StoreUnavailable("the message is already stored or thrown away")
        self._write(self._convert.finish())
        letters = Keywords(self._directory)
        letters.reload()
        keyword_letters = letters.letters(keywords, create=True) if keywords else ""
        try:
            if why := self._ledger.lacks(self._name, self._count.stored):
                raise OverQuota(f"cannot store message: {why}")
            if self._synced != (self._count.stored, internal_date):
                self.sync(internal_date)
            about = os.fstat(self._fd)
            base = final_base(about.st_dev, about.st_ino, time.time_ns(), self._count.stored, self._count.wire)
            # Only a message without flags may lie in new/, where no flags can be; it is recent for the next view.
            place = (
                f"cur/{base}{INFO}{format_info(flags, keyword_letters)}" if flags or keyword_letters else f"new/{base}"
            )
            state = self._states.of(self._directory)
            with state.locked() as names:
                (uid,) = state.assign(names, [base])
                patience.begun()
                arrivals = Arrivals(state)
                os.rename(self._temporary, f"{self._directory}/{place}")
                fresh = place.startswith("new/")
                arrivals.stored(
                    [Arrival(uid, place[4:], fresh, flags, keyword_letters, self._count.wire, about.st_mtime)]
                )
                uid_validity = names.uid_validity
            sync_directory(f"{self._directory}/{place[:3]}")
            arrivals.note()
        except OSError as error:
            raise store_error(error, "cannot store message") from error
        with suppress(OSError):  # the message is there; the next count will find it
            self._ledger.add(self._name, self._count.stored, 1)
        self._close()
        return Appended(uid_validity, uid)

    def abort(self) -> None:
        if self._fd >= 0:
            self._close()
            try:
                os.unlink(self._temporary)
            except OSError:
                pass

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1
