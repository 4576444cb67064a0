"""Filling a Maildir under given UIDs (`lib.store.keeping`).

The messages go into cur/ at once; which UID each is to have stands in a file of its own, in the form of the UID list's
lines, until that list is replaced by one that has them all.  Sessions that look before give numbers that go with the
list in which they stand.
"""

from __future__ import annotations

import os
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.store.delivering import Delivery, Outcomes, from_store_error, split_flags
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.index.file import IndexFile
from pillarbox.lib.store.interface import NotPossible, StoreError
from pillarbox.lib.store.keeping import MOST_UID, Identity, Kept, Restoring, id_of
from pillarbox.lib.store.lines import WireCounter, to_lf
from pillarbox.lib.store.maildir import modseq, uidlist
from pillarbox.lib.store.maildir.append import store_error
from pillarbox.lib.store.maildir.filename import INFO, final_base, format_info, temporary_name
from pillarbox.lib.store.maildir.keywords import Keywords
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.state import UidState
from pillarbox.lib.store.uidvalidity import new_uid_validity, note_uid_validity
from pillarbox.lib.system.files import sync_batch, sync_directory, write_all

NAME: Final = "pillarbox-restoring"
_LINE: Final = re.compile(rb"\d{1,10}(?: P[!-~]{1,70})? :[^\n\0]+\n")
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Written:
    """A message in tmp/."""

    kept: Kept
    fd: int
    temporary: str
    base: str
    name: str
    size: int


class MaildirRestoring(Restoring):
    """The mailbox `name` in `directory`; `root` is the account's Maildir."""

    def __init__(
        self, name: str, directory: str, root: str, ledger: Ledger, identity: Identity, token: int | None
    ) -> None:
        """Raises NotPossible, StoreError."""
        self._name = name
        self._directory = directory
        self._root = root
        self._ledger = ledger
        self._list = f"{directory}/{uidlist.NAME}"
        self._path = f"{directory}/{NAME}"
        self._highest = 0
        """UID in that file: none above it was stored."""
        try:
            if token is None:
                token = self._begin(identity)
            self.token = token
            self._must_be_the_same()
            self._take_up()
            self._clear_away()
        except OSError as error:
            raise store_error(error, f'cannot fill "{name}"') from error

    def _begin(self, identity: Identity) -> int:
        if any(True for _ in _files(self._directory)):
            raise NotPossible(f'"{self._name}" has messages already')
        state = UidState(self._directory, self._root)
        with state.locked(everything=True) as names:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            while names.uid_validity == identity.uid_validity or names.next_uid > 1:
                names.uid_validity, names.next_uid = new_uid_validity(self._root), 1
                names.uids.clear()
                names.extensions.clear()
                if names.uid_validity != identity.uid_validity:
                    self._forget_index()
                    uidlist.rewrite(self._list, names)
            return names.uid_validity

    def _forget_index(self) -> None:
        """It tells of another list.  Under that one's lock, without which nobody makes a new index."""
        with suppress(FileNotFoundError):
            os.unlink(IndexFile(self._directory, self._directory).path)

    def _must_be_the_same(self) -> uidlist.UidList:
        names = uidlist.read_header(self._list)
        if names is None or names.uid_validity != self.token:
            raise NotPossible(f'"{self._name}" was replaced by another mailbox')
        return names

    def _take_up(self) -> None:
        """Cut off what was not written to its end, and see how far an earlier process came.

        Messages get their names after the lines are on the disk, so none has one that is cut off.
        """
        fd = os.open(self._path, _APPEND, 0o600)
        with open(fd, "rb") as file:
            if not os.fstat(fd).st_size:
                sync_directory(self._directory)  # its name must outlast a power loss as what will stand in it does
            end = 0
            for line in file:
                if _LINE.fullmatch(line) is None:
                    break
                end += len(line)
                self._highest = max(self._highest, _uid_of(line))
            os.ftruncate(fd, end)

    @property
    def _temporary(self) -> str:
        """How names in tmp/ begin."""
        return f"restoring.{self.token}."

    def _clear_away(self) -> None:
        """What a run that died was writing: it is written anew, and may fill the disk."""
        with os.scandir(f"{self._directory}/tmp") as entries:
            left = [entry.path for entry in entries if entry.name.startswith(self._temporary)]
        for path in left:
            os.unlink(path)

    # --- storing
    def put(self, batch: Sequence[Kept]) -> Outcomes:
        outcomes: Outcomes = [None] * len(batch)
        written: list[tuple[int, _Written]] = []
        try:
            self._must_be_the_same()
            there = self._there({kept.uid for kept in batch})
            size = 0
            for index, kept in enumerate(batch):
                if kept.uid in there:
                    continue
                try:
                    message = self._write(kept)
                    written.append((index, message))
                    if why := self._ledger.lacks(self._name, size + message.size, len(written)):
                        written.pop()
                        os.close(message.fd)
                        os.unlink(message.temporary)
                        outcomes[index] = DeliveryFailure("5.2.2", f"mailbox is full: {why}")
                    else:
                        size += message.size
                except StoreError as error:
                    outcomes[index] = from_store_error(error, "cannot store a message", False)
                except OSError as error:
                    outcomes[index] = from_os_error(error, "cannot store a message")
            if written:
                self._finish([message for _, message in written])
                with suppress(OSError):  # the next count finds them
                    self._ledger.add(self._name, size, len(written))
        except OSError as error:
            raise store_error(error, f'cannot fill "{self._name}"') from error
        finally:
            for _, message in written:
                os.close(message.fd)
        return outcomes

    def _there(self, uids: set[int]) -> set[int]:
        """Those of these UIDs whose messages are in the Maildir."""
        if min(uids, default=MOST_UID) > self._highest:
            return set()
        bases = {}
        with open(self._path, "rb") as file:
            for line in file:
                if (uid := _uid_of(line)) in uids:
                    bases[os.fsdecode(line.partition(b" :")[2].rstrip(b"\n"))] = uid
        return {bases[base] for name in _files(self._directory) if (base := name.partition(":")[0]) in bases}

    def _write(self, kept: Kept) -> _Written:
        """Raises OSError, StoreError."""
        temporary = f"{self._directory}/tmp/{self._temporary}{temporary_name()}"
        fd = os.open(temporary, _CREATE, 0o600)
        try:
            counter = WireCounter()
            for piece in to_lf(kept.delivery.content()):
                counter.feed(piece)
                write_all(fd, piece)
            if kept.delivery.date is not None:
                os.utime(fd, (kept.delivery.date, kept.delivery.date))
            about = os.fstat(fd)
            info = _info(self._directory, kept.delivery)
        except BaseException:
            os.close(fd)
            os.unlink(temporary)
            raise
        # The time in a file's name is that at which the message came into the mailbox (maildir(5), SAVEDATE).
        moment = time.time_ns() if kept.saved is None else int(kept.saved * 1_000_000_000)
        base = final_base(about.st_dev, about.st_ino, moment, counter.stored, counter.wire)
        return _Written(kept, fd, temporary, base, f"{base}{INFO}{info}", counter.stored)

    def _finish(self, messages: Sequence[_Written]) -> None:
        """On the disk: the contents, then which UIDs they have, then their names."""
        sync_batch([message.fd for message in messages])
        lines = b"".join(_line(message) for message in messages)
        fd = os.open(self._path, _APPEND, 0o600)
        try:
            write_all(fd, lines)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        self._highest = max(self._highest, *(message.kept.uid for message in messages))
        for message in messages:
            os.rename(message.temporary, f"{self._directory}/cur/{message.name}")
        sync_directory(f"{self._directory}/cur")

    # --- the end
    def finish(self, identity: Identity) -> None:
        try:
            state = UidState(self._directory, self._root)
            with state.locked():
                self._must_be_the_same()
                modseq.set_floor(self._directory, identity.modseq)
                note_uid_validity(self._root, identity.uid_validity)
                guid = "" if identity.mailbox_id == id_of(identity.uid_validity) else identity.mailbox_id
                names = uidlist.UidList(identity.uid_validity, identity.border, guid)
                self._forget_index()
                uidlist.replace(self._list, names, self._lines())
            os.unlink(self._path)
        except OSError as error:
            raise store_error(error, f'cannot finish "{self._name}"') from error
        self.token = identity.uid_validity

    def _lines(self) -> Iterator[bytes]:
        """The lines for the UID list, ascending, of several with one UID the last: none of them is held in memory."""
        uids, places = array("I"), array("Q")
        with open(self._path, "rb") as file:
            place = 0
            ascending = True
            for line in file:
                uid = _uid_of(line)
                ascending = ascending and (not uids or uids[-1] < uid)
                uids.append(uid)
                places.append(place)
                place += len(line)
            if ascending:
                file.seek(0)
                yield from file
                return
            order = sorted(range(len(uids)), key=uids.__getitem__)
            for position, number in enumerate(order):
                if position + 1 < len(order) and uids[order[position + 1]] == uids[number]:
                    continue
                file.seek(places[number])
                yield file.readline()


def _files(directory: str) -> Iterator[str]:
    for place in ("new", "cur"):
        with os.scandir(f"{directory}/{place}") as entries:
            for entry in entries:
                if entry.name[0] != ".":
                    yield entry.name


def _info(directory: str, delivery: Delivery) -> str:
    bits, words = split_flags(delivery.flags)
    letters = ""
    if words:
        keywords = Keywords(directory)
        keywords.reload()
        letters = keywords.letters(words, create=True)
    return format_info(bits, letters)


def _line(message: _Written) -> bytes:
    uidl = message.kept.uidl
    extension = f" P{uidl}" if uidl else ""
    return os.fsencode(f"{message.kept.uid}{extension} :{message.base}\n")


def _uid_of(line: bytes) -> int:
    return int(line.partition(b" ")[0])
