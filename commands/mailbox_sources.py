"""Sources of a transfer: a store of any kind, mbox files, directories of single messages.

None of them is changed, except that a store is opened as a mail session opens it, which may give UIDs to messages that
have none yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from pillarbox.commands.mailbox_message import Key, Message
from pillarbox.commands.mailbox_names import is_mbox, level_of
from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.delivering import split_flags
from pillarbox.lib.store.interface import (
    DELIMITER,
    INBOX,
    Mailbox,
    MailboxNotFound,
    MessageContent,
    MessageGone,
    NoteKind,
    Store,
    StoreError,
)
from pillarbox.lib.store.mbox.parse import Found, examine, find_messages

SIDECAR: Final = "messages.jsonl"
"""Beside single messages: lines of JSON with `file`, `flags` as IMAP writes them, and `date` in seconds."""
ENDING: Final = ".eml"
_CHILDREN: Final = ".sbd"
_FREE_AFTER: Final = 16 << 20
"""Octets of an mbox file after which what was read of it need not stay in memory."""


class StoreSource:
    """A store of any kind."""

    def __init__(self, store: Store) -> None:
        self.name = store.location
        self._store = store

    def mailboxes(self) -> list[str]:
        return [entry.name for entry in self._store.list() if entry.selectable]

    def subscriptions(self) -> Sequence[str]:
        return self._store.subscriptions()

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        return self._store.note(mailbox, kind)

    @contextmanager
    def mailbox(self, name: str) -> Iterator[StoreMailbox]:
        with self._store.open(name, read_only=True) as mailbox:
            yield StoreMailbox(mailbox)


class StoreMailbox:
    """A mailbox of a store; keys are UIDs."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.identity = f"uidvalidity {mailbox.uid_validity}"
        self._mailbox = mailbox

    def _start(self, after: Key | None) -> int:
        return bisect_right(self._mailbox.messages.uids, int(after or 0))

    def count(self, after: Key | None) -> int:
        return len(self._mailbox.messages) - self._start(after)

    def messages(self, after: Key | None) -> Iterator[Message]:
        mailbox = self._mailbox
        for position in range(self._start(after), len(mailbox.messages)):
            state = mailbox.messages[position]
            try:
                date, size = mailbox.internal_date(state.uid), mailbox.size(state.uid)
            except MessageGone:
                continue
            except StoreError:
                date, size = 0.0, 0  # opening it will say what is wrong
            keywords = tuple(sorted(state.keywords))
            yield Message(state.uid, state.flags, keywords, date, size, partial(mailbox.read, state.uid))


class _FileSource:
    """What comes from files of no store."""

    name: str

    def subscriptions(self) -> Sequence[str]:
        return ()

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        return b""


class MboxSource(_FileSource):
    """One mbox file, or a directory of them as Thunderbird, mutt or `mailbox export` make it."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._files: dict[str, str] = {}
        if os.path.isdir(path):
            self._walk(path, "")
        else:
            self._files[INBOX] = path

    def _walk(self, directory: str, prefix: str) -> None:
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                self._walk(entry.path, f"{prefix}{level_of(entry.name.removesuffix(_CHILDREN))}{DELIMITER}")
            elif entry.is_file() and is_mbox(entry.path):
                name = prefix + level_of(entry.name)
                self._files[INBOX if name.upper() == INBOX else name] = entry.path

    def mailboxes(self) -> list[str]:
        return list(self._files)

    @contextmanager
    def mailbox(self, name: str) -> Iterator[MboxFileMailbox]:
        try:
            fd = os.open(self._files[name], os.O_RDONLY | os.O_CLOEXEC)
        except KeyError:
            raise MailboxNotFound(f'no mailbox "{name}"') from None
        try:
            with contextlib.ExitStack() as stack:
                data: bytes | mmap.mmap = b""
                if os.fstat(fd).st_size:
                    data = stack.enter_context(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
                yield MboxFileMailbox(fd, data)
        finally:
            os.close(fd)


class MboxFileMailbox:
    """An mbox file; keys are the places of `From_` lines."""

    def __init__(self, fd: int, data: bytes | mmap.mmap) -> None:
        self.identity = hashlib.blake2b(data[: data[:4096].find(b"\n") + 1], digest_size=8).hexdigest()
        self._fd = fd
        self._data = data

    def _found(self, after: Key | None) -> Iterator[Found]:
        start = 0 if after is None else int(after)
        for found in find_messages(self._data, start, len(self._data)):
            if after is None or found.offset > start:
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
                partial(_open_segments, self._fd, segments, details.size),
            )


def _open_segments(fd: int, segments: Sequence[tuple[int, int]], size: int) -> MessageContent:
    return FileContent(os.dup(fd), segments, size)


class EmlSource(_FileSource):
    """One message in a file, or a directory of them, each directory below it a mailbox."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._path = path
        self._directories: dict[str, str] = {}
        if os.path.isdir(path):
            self._walk(path, "")

    def _walk(self, directory: str, prefix: str) -> None:
        files = False
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                self._walk(entry.path, f"{prefix}{DELIMITER}{level_of(entry.name)}" if prefix else level_of(entry.name))
            else:
                files = True
        if files:
            self._directories[INBOX if prefix.upper() in ("", INBOX) else prefix] = directory

    def mailboxes(self) -> list[str]:
        return list(self._directories) if os.path.isdir(self._path) else [INBOX]

    @contextmanager
    def mailbox(self, name: str) -> Iterator[EmlMailbox]:
        if not os.path.isdir(self._path):
            yield EmlMailbox(os.path.dirname(self._path) or ".", [os.path.basename(self._path)])
            return
        directory = self._directories.get(name)
        if directory is None:
            raise MailboxNotFound(f'no mailbox "{name}"')
        names = sorted(file for file in os.listdir(directory) if file.lower().endswith(ENDING) and file[0] != ".")
        yield EmlMailbox(directory, names)


class EmlMailbox:
    """A directory of messages; keys are the names of their files."""

    identity = "files"

    def __init__(self, directory: str, names: list[str]) -> None:
        self._directory = directory
        self._names = names

    def _start(self, after: Key | None) -> int:
        return 0 if after is None else bisect_right(self._names, str(after))

    def count(self, after: Key | None) -> int:
        return len(self._names) - self._start(after)

    def messages(self, after: Key | None) -> Iterator[Message]:
        known = _sidecar(f"{self._directory}/{SIDECAR}")
        for name in self._names[self._start(after) :]:
            path = f"{self._directory}/{name}"
            about = os.stat(path)
            flags, date = known.get(name, ((), about.st_mtime))
            bits, keywords = split_flags(flags)
            yield Message(name, bits, tuple(sorted(keywords)), date, about.st_size, partial(_open_file, path))


def _open_file(path: str) -> MessageContent:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return FileContent(fd, ((0, os.fstat(fd).st_size),))


def _sidecar(path: str) -> dict[str, tuple[tuple[str, ...], float]]:
    known: dict[str, tuple[tuple[str, ...], float]] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    try:
        with open(path, "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    flags = tuple(str(flag) for flag in entry["flags"])
                    known[str(entry["file"])] = (shared.setdefault(flags, flags), float(entry["date"]))
                except (ValueError, KeyError, TypeError):
                    continue  # written by a process that died, or by hand
    except FileNotFoundError:
        pass
    return known
