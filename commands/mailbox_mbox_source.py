"""A source of mbox files: one, or a directory of them as Thunderbird, mutt or `mailbox export` make it."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from pillarbox.commands.mailbox_files import FileSource, free_name, open_inside
from pillarbox.commands.mailbox_mbox_makes import (
    LENGTHS,
    MAKES,
    has_lengths,
    is_internal,
    messages_by_length,
    numbered,
    open_message,
)
from pillarbox.commands.mailbox_message import Key, Message
from pillarbox.commands.mailbox_names import CHILDREN, is_mbox, level_of
from pillarbox.lib.store.interface import DELIMITER, INBOX, MailboxNotFound
from pillarbox.lib.store.keeping import Identity
from pillarbox.lib.store.mbox.parse import Found, examine, find_messages

_FREE_AFTER: Final = 16 << 20
"""Octets of an mbox file after which what was read of it need not stay in memory."""


class MboxSource(FileSource):
    """The files at `path`; `make` is one of MAKES, or "" to find out what can be found out."""

    def __init__(self, path: str, make: str = "") -> None:
        """Raises OSError."""
        super().__init__(path)
        self._make = make or self.notes.quoting
        self._files: dict[str, str] = {}
        if self.single:
            self._files[INBOX] = path
        else:
            self._walk(path, "")

    def _walk(self, directory: str, prefix: str) -> None:
        for entry in self.entries(directory):
            if entry.is_dir(follow_symlinks=False):
                name = f"{prefix}{level_of(entry.name.removesuffix(CHILDREN))}{DELIMITER}"
                if self.may_enter(entry.path, name):
                    self._walk(entry.path, name)
            elif is_mbox(entry.path):
                self._files[free_name(prefix + level_of(entry.name), self._files)] = entry.path

    def mailboxes(self) -> list[str]:
        return list(self._files)

    @contextmanager
    def mailbox(self, name: str) -> Iterator[MboxFileMailbox]:
        if name not in self._files:
            raise MailboxNotFound(f'no mailbox "{name}"')
        fd = open_inside(self._files[name], named=self.single)
        try:
            with contextlib.ExitStack() as stack:
                data: bytes | mmap.mmap = b""
                if os.fstat(fd).st_size:
                    data = stack.enter_context(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
                yield MboxFileMailbox(fd, data, self._make, self.notes.identity(name))
        finally:
            os.close(fd)


class MboxFileMailbox:
    """An mbox file; keys are the places of `From_` lines."""

    def __init__(self, fd: int, data: bytes | mmap.mmap, make: str, noted: Identity | None) -> None:
        self.identity = hashlib.blake2b(data[: data[:4096].find(b"\n") + 1], digest_size=8).hexdigest()
        self._fd = fd
        self._data = data
        self._quotes: re.Pattern[bytes] | None = MAKES.get(make)
        self._by_length = make in LENGTHS or (make not in MAKES and has_lengths(data))
        self.kept = self._known_by(noted)

    def _known_by(self, noted: Identity | None) -> Identity | None:
        if not self._data:
            return noted
        numbers = numbered(self._data, self._messages(0))
        if numbers is None:
            return None
        validity, uid_next = numbers
        if noted is not None:
            return noted if uid_next <= noted.uid_next else None
        return Identity(validity, uid_next) if validity else None

    def _messages(self, position: int) -> Iterator[Found]:
        find = messages_by_length if self._by_length else find_messages
        return find(self._data, position, len(self._data))

    def _found(self, after: Key | None) -> Iterator[Found]:
        start = 0 if after is None else int(after)
        for found in self._messages(start):
            if (after is None or found.offset > start) and not is_internal(self._data, found):
                yield found

    def count(self, after: Key | None) -> int:
        return sum(1 for _ in self._found(after))

    def messages(self, after: Key | None) -> Iterator[Message]:
        freed = 0
        for found in self._found(after):
            details = examine(self._data, found)
            segments = []
            position = found.start
            for begin, end in (*details.hidden, (found.end, found.end)):
                if position < begin:
                    segments.append((position, begin - position))
                position = end
            if found.next - freed > _FREE_AFTER and isinstance(self._data, mmap.mmap):
                self._data.madvise(mmap.MADV_DONTNEED, 0, found.offset - found.offset % mmap.PAGESIZE)
                freed = found.next
            yield Message(
                found.offset,
                details.flags,
                details.keywords,
                details.date,
                details.size,
                partial(open_message, self._fd, self._data, segments, details.size, self._quotes),
                details.uid if self.kept is not None else 0,
            )
