"""One mbox file with its index: locked, crash-recovered, and in step with what other programs did to it.

All work on the file happens inside `locked`, which first completes an interrupted rewrite and then brings the index up
to date: mail appended since is read from where the index ends; after any other change the whole file is read again and
messages are recognised by their fingerprint (`From_` line, header, length of the body), so that they keep UID and
flags.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pillarbox.lib.store import notes, patience
from pillarbox.lib.store.interface import MailboxNotFound, NoteKind, OverQuota, StoreError, StoreUnavailable
from pillarbox.lib.store.locks import LOCK_TIMEOUT, fcntl_lock
from pillarbox.lib.store.mbox import journal
from pillarbox.lib.store.mbox.appending import undo_append
from pillarbox.lib.store.mbox.index import Index, Row, append_change, read_index, read_on, write_index
from pillarbox.lib.store.mbox.locking import dot_locked
from pillarbox.lib.store.mbox.parse import Bytes, Details, Found, examine, find_messages
from pillarbox.lib.store.text import file as text
from pillarbox.lib.store.uidvalidity import new_uid_validity

_STALE_AFTER = 500.0
_QUICKLY = 1 << 20
"""Octets of an mbox that are read in some milliseconds."""
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Stamp = tuple[int, int, int]


def store_error(error: OSError, what: str) -> StoreError:
    """A system call's error in the store's terms."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OverQuota(f"{what}: {error.strerror}")
    if error.errno == errno.ENOENT:
        return MailboxNotFound("the mailbox was deleted")
    return StoreUnavailable(f"{what}: {error.strerror}")


@dataclass(slots=True)
class Locked:
    """The file while it is locked."""

    fd: int
    index: Index
    changed: set[int] = field(default_factory=set)
    """UIDs of rows that must be written."""
    gone: set[int] = field(default_factory=set)
    """UIDs of rows that were taken out."""
    whole: bool = False
    """The index is to be written anew."""
    head: bool = False
    """What it says of the file must be written."""
    durable: bool = False
    """What is to be written must survive a power loss: it gives UIDs."""

    @property
    def dirty(self) -> bool:
        """Whether anything must be written."""
        return self.whole or self.head or bool(self.changed or self.gone)

    def touch(self, row: Row) -> None:
        """The row has changed, or is new."""
        self.changed.add(row.uid)


class MboxFile:
    """The file at `path`, its notes under the name `notes` in the control directory `control`."""

    def __init__(self, path: str, control: str, notes: str, create: bool) -> None:
        self.path = path
        self.control = control
        self.create = create
        self.index_path = f"{control}/{notes}.index"
        self.journal = f"{control}/{notes}.journal"
        self.append_note = f"{control}/{notes}.append"
        self.uidls = f"{control}/{notes}.uidls"
        self._index: Index | None = None
        """As it was when the lock was last held, if that ended well."""
        self._seen: Stamp = (0, 0, 0)
        """The index's file then."""
        self.text_place = f"{control}/{notes}.text"

    def stamp(self) -> tuple[Stamp, Stamp]:
        """The state of file and index now, to see whether anything changed.  Raises MailboxNotFound."""
        return self._stamp(self.path, self.create), self._stamp(self.index_path, True)

    def _stamp(self, path: str, may_lack: bool) -> Stamp:
        try:
            about = os.stat(path)
        except FileNotFoundError:
            if may_lack:
                return (0, 0, 0)
            raise MailboxNotFound("the mailbox was deleted") from None
        except OSError as error:
            raise store_error(error, f"cannot read {path}") from error
        return (about.st_ino, about.st_size, about.st_mtime_ns)

    @contextmanager
    def locked(self) -> Iterator[Locked]:
        """Hold the locks, with an index that describes the file.  Writes the index at the end if it changed."""
        if not self.create and not os.path.lexists(self.path):
            raise MailboxNotFound("the mailbox was deleted")
        with dot_locked(self.path, LOCK_TIMEOUT, _STALE_AFTER):
            fd = self._open()
            try:
                fcntl_lock(fd, exclusive=True)
                recovered = journal.recover(fd, self.journal)
                state = Locked(fd, self._load())
                self._index = None
                known = state.index.size if state.index.inode == os.fstat(fd).st_ino else 0
                recovered = undo_append(fd, self.append_note, known) or recovered
                if recovered or not state.index.describes(os.fstat(fd)):
                    self._synchronise(state)
                if state.dirty:
                    self.save(state)
                yield state
                if state.dirty:
                    self.save(state)
                self._index = state.index
            except OSError as error:
                raise store_error(error, f"cannot update {self.path}") from error
            finally:
                os.close(fd)

    def _open(self) -> int:
        flags = _OPEN | (os.O_CREAT if self.create else 0)
        try:
            return os.open(self.path, flags, 0o600)
        except OSError as error:
            raise store_error(error, f"cannot open {self.path}") from error

    def _load(self) -> Index:
        seen, index = self._stamp(self.index_path, True), self._index
        if index is not None and seen != self._seen:
            grown = seen[0] == self._seen[0] and seen[1] > self._seen[1]
            if not grown or not read_on(self.index_path, index):
                index = None
        if index is None:
            index = read_index(self.index_path)
        self._seen = seen
        return Index(new_uid_validity(self.control)) if index is None else index

    def save(self, state: Locked) -> None:
        """Write down what changed in the index, which describes the file as it is now."""
        index = state.index
        index.remember(os.fstat(state.fd))
        rows = [row for uid in sorted(state.changed) if (row := index.row(uid)) is not None]
        if state.whole or not append_change(self.index_path, index, rows, sorted(state.gone), durable=state.durable):
            write_index(self.index_path, index)
        state.changed.clear()
        state.gone.clear()
        state.whole = state.head = state.durable = False
        self._seen = self._stamp(self.index_path, True)

    def forget(self) -> None:
        """Remove the notes of a mailbox that is gone."""
        for path in (self.index_path, self.journal, self.append_note, self.uidls, *map(self.note_path, notes.MAILBOX)):
            journal.remove(path)
        text.throw_away(self.text_place)

    def note_path(self, kind: NoteKind) -> str:
        """Where a note of this kind lies (`lib.store.notes`)."""
        return f"{self.journal.removesuffix('.journal')}.{kind}"

    def rename_notes(self, other: MboxFile) -> None:
        """Give the notes to the file under its new name."""
        kept = [(self.note_path(kind), other.note_path(kind)) for kind in notes.MAILBOX]
        kept += [(self.index_path, other.index_path), (self.journal, other.journal), (self.uidls, other.uidls)]
        for old, new in kept:
            if os.path.exists(old):
                os.rename(old, new)
        text.throw_away(self.text_place)  # it is made again in time

    # --- bringing the index up to date

    def match_anew(self, state: Locked) -> None:
        """Read the whole file again, whatever the index says; call inside the lock."""
        size = os.fstat(state.fd).st_size
        if size:
            with mmap.mmap(state.fd, size, access=mmap.ACCESS_READ) as data:
                self._match(state.index, data, list(find_messages(data, 0, size)))
        else:
            state.index.rows = []
        state.whole = True

    def _synchronise(self, state: Locked) -> None:
        size = os.fstat(state.fd).st_size
        state.head = state.durable = True
        if size == 0:
            state.whole = bool(state.index.rows)
            state.index.rows = []
            return
        with mmap.mmap(state.fd, size, access=mmap.ACCESS_READ) as data:
            end = state.index.size
            if size - (end if size > end else 0) > _QUICKLY:
                patience.give_way()
            if 0 < end < size and self._only_grew(state.index, os.fstat(state.fd), data):
                self._add(state, data, list(find_messages(data, end, size)))
            else:
                state.whole = True
                self._match(state.index, data, list(find_messages(data, 0, size)))

    def _only_grew(self, index: Index, about: os.stat_result, data: Bytes) -> bool:
        """Whether the old part looks as it did and a message begins behind it."""
        if index.inode != about.st_ino or not index.rows or data[index.size : index.size + 5] != b"From ":
            return False
        last = max(index.rows, key=lambda row: row.offset)
        found = next(find_messages(data, last.offset, index.size), None)
        return (
            found is not None
            and (found.offset, found.end) == (last.offset, last.end)
            and examine(data, found).fingerprint == last.fingerprint
        )

    def _add(self, state: Locked, data: Bytes, found: Sequence[Found]) -> None:
        index = state.index
        for message in found:
            index.rows.append(_row(index.next_uid, message, examine(data, message)))
            state.touch(index.rows[-1])
            index.next_uid += 1

    def _match(self, index: Index, data: Bytes, found: Sequence[Found]) -> None:
        """Give every message its old UID and flags, or a new UID."""
        known: dict[str, list[Row]] = {}
        for row in reversed(index.rows):
            known.setdefault(row.fingerprint, []).append(row)
        rows: list[Row] = []
        fresh: list[tuple[Found, Details]] = []
        for message in found:
            details = examine(data, message)
            if index.next_uid > 1:
                details = details._replace(uid=0)  # X-UID: counts only for a mailbox that we have never seen
            same = known.get(details.fingerprint)
            if same:
                rows.append(_moved(same.pop(), message, details))
            else:
                fresh.append((message, details))
        if not index.rows and index.next_uid == 1:
            fresh = _adoptable(fresh)
        for message, details in fresh:
            uid = max(index.next_uid, details.uid)
            rows.append(_row(uid, message, details))
            index.next_uid = uid + 1
        index.rows = sorted(rows, key=lambda row: row.uid)


def _adoptable(fresh: list[tuple[Found, Details]]) -> list[tuple[Found, Details]]:
    """Keep the UIDs that another server wrote as X-UID: lines if they ascend, else none of them."""
    uids = [details.uid for _, details in fresh if details.uid]
    if uids == sorted(set(uids)):
        return fresh
    return [(message, details._replace(uid=0)) for message, details in fresh]


def _row(uid: int, found: Found, details: Details) -> Row:
    return Row(
        uid,
        *found,
        fingerprint=details.fingerprint,
        size=details.size,
        date=details.date,
        flags=details.flags,
        keywords=details.keywords,
        recent=not details.old,
        file_flags=details.flags,
        file_keywords=details.keywords,
    )


def _moved(row: Row, found: Found, details: Details) -> Row:
    """A known message at its new place; flags that another program changed in the file are taken over."""
    row.offset, row.start, row.end, row.next = found
    if details.flags != row.file_flags:
        row.flags = (row.flags | (details.flags & ~row.file_flags)) & ~(row.file_flags & ~details.flags)
        row.file_flags = details.flags
    if details.keywords != row.file_keywords:
        row.keywords = details.keywords
        row.file_keywords = details.keywords
    return row
