"""Storing messages at the end of an mbox file with known UIDs."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.interface import (
    NO_KEYWORDS,
    Appended,
    Appender,
    MessageContent,
    StoreUnavailable,
)
from pillarbox.lib.store.lines import ToLF
from pillarbox.lib.store.mbox.appending import note_append
from pillarbox.lib.store.mbox.file import Locked, MboxFile, store_error
from pillarbox.lib.store.mbox.index import Row
from pillarbox.lib.store.mbox.journal import remove
from pillarbox.lib.store.mbox.parse import Found, examine, status_lines
from pillarbox.lib.store.mbox.quoting import FromQuoter, from_line
from pillarbox.lib.system.files import write_all


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message to store."""

    content: MessageContent
    flags: int
    keywords: tuple[str, ...]
    date: float


def append_messages(
    file: MboxFile, state: Locked, messages: Sequence[Incoming], uids: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Write messages, synced, and their rows; all or none.  Gives their UIDs.  Call inside the lock; raises OSError.

    `uids`, ascending, are of those that the mailbox keeps free; None: they get the next ones.
    """
    fd, index = state.fd, state.index
    before = os.fstat(fd).st_size
    rows: list[Row] = []
    try:
        lines = [from_line("", message.date) for message in messages]
        # Who stores messages under given UIDs does it again after a power loss, and then they must not be there.
        note_append(file.append_note, fd, before, lines, durable=uids is not None)
        os.lseek(fd, before, os.SEEK_SET)
        end = os.pread(fd, 2, max(0, before - 2))
        position = before
        if end and end != b"\n\n":
            missing = b"\n" if end.endswith(b"\n") else b"\n\n"
            write_all(fd, missing)
            position += len(missing)
        for message in messages:
            row = _write(fd, position, message)
            row.uid = index.next_uid + len(rows) if uids is None else uids[len(rows)]
            row.recent = uids is None
            rows.append(row)
            position = row.next
        os.fsync(fd)
    except BaseException:
        os.ftruncate(fd, before)
        remove(file.append_note)
        raise
    in_order = not index.rows or not rows or index.rows[-1].uid < rows[0].uid
    index.rows += rows
    if not in_order:
        index.rows.sort(key=lambda row: row.uid)
    state.changed.update(row.uid for row in rows)
    state.durable = True
    if uids is None:
        index.next_uid += len(rows)
    file.save(state)
    remove(file.append_note)
    return tuple(row.uid for row in rows)


def _write(fd: int, position: int, message: Incoming) -> Row:
    start = from_line("", message.date)
    lines = status_lines(message.flags, message.keywords, old=False)
    head = start + lines
    write_all(fd, head)
    size = len(head)
    quoter, convert = FromQuoter(), ToLF()
    last = head[-1:]
    for chunk in message.content.chunks():
        data = quoter.feed(convert.feed(chunk))
        if data:
            write_all(fd, data)
            size += len(data)
            last = data[-1:]
    for data in (quoter.feed(convert.finish()), quoter.finish()):
        if data:
            write_all(fd, data)
            size += len(data)
            last = data[-1:]
    ending = b"\n" if last == b"\n" else b"\n\n"
    write_all(fd, ending)
    end = position + size + len(ending) - 1
    details = _examine(fd, position, len(start), end)
    return Row(
        uid=0,
        offset=position,
        start=position + len(start),
        end=end,
        next=end + 1,
        fingerprint=details[0],
        size=details[1],
        date=message.date,
        flags=message.flags,
        keywords=message.keywords,
        recent=True,
        file_flags=message.flags,
        file_keywords=message.keywords,
    )


def _examine(fd: int, offset: int, header: int, end: int) -> tuple[str, int]:
    """Fingerprint and wire size of what was just written."""
    page = offset - offset % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(fd, end - page, access=mmap.ACCESS_READ, offset=page) as data:
        shift = offset - page
        details = examine(data, Found(shift, shift + header, end - page, end + 1 - page))
    return details.fingerprint, details.size


class MboxAppender(Appender):
    """One message on its way into `file`; it waits in an unnamed file, so that the mailbox is locked only shortly."""

    def __init__(self, file: MboxFile) -> None:
        """Raises OverQuota, StoreUnavailable."""
        self._file = file
        self._convert = ToLF()
        self._size = 0
        try:
            with tempfile.TemporaryFile(dir=file.control) as scratch:
                self._fd = os.dup(scratch.fileno())
        except OSError as error:
            raise store_error(error, "cannot store message") from error

    def write(self, data: bytes) -> None:
        self._write(self._convert.feed(data))

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise store_error(error, "cannot store message") from error
        self._size += len(data)

    def commit(
        self, flags: int = 0, keywords: Collection[str] = NO_KEYWORDS, internal_date: float | None = None
    ) -> Appended:
        if self._fd < 0:
            raise StoreUnavailable("the message is already stored or thrown away")
        self._write(self._convert.finish())
        date = time.time() if internal_date is None else internal_date
        content = FileContent(os.dup(self._fd), ((0, self._size),))
        with content, self._file.locked() as state:
            (uid,) = append_messages(self._file, state, [Incoming(content, flags, tuple(sorted(keywords)), date)])
            validity = state.index.uid_validity
        self.abort()
        return Appended(validity, uid)

    def abort(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
