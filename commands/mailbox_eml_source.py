"""A source of single messages: one in a file, or a directory of them, each directory below it a mailbox."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from pillarbox.commands.mailbox_files import FileSource, free_name, open_inside, open_message
from pillarbox.commands.mailbox_message import Key, Message
from pillarbox.commands.mailbox_names import ENDING, SIDECAR, level_of
from pillarbox.lib.store.delivering import split_flags
from pillarbox.lib.store.interface import DELIMITER, INBOX, MailboxNotFound, StoreError
from pillarbox.lib.store.keeping import MOST_UID, Identity, moment, unique_id

_LINE_LIMIT: Final = 1 << 20
"""Octets of a line about one message."""


class EmlSource(FileSource):
    """The files at `path`."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        super().__init__(path)
        self._directories: dict[str, str] = {}
        if not self.single:
            self._walk(path, "")

    def _walk(self, directory: str, prefix: str) -> None:
        files = False
        for entry in self.entries(directory):
            if entry.is_dir(follow_symlinks=False):
                name = f"{prefix}{DELIMITER}{level_of(entry.name)}" if prefix else level_of(entry.name)
                if self.may_enter(entry.path, name):
                    self._walk(entry.path, name)
            else:
                files = files or entry.name == SIDECAR or is_eml(entry.name)
        if files:
            self._directories[free_name(prefix or INBOX, self._directories)] = directory

    def mailboxes(self) -> list[str]:
        return [INBOX] if self.single else list(self._directories)

    @contextmanager
    def mailbox(self, name: str) -> Iterator[EmlMailbox]:
        if self.single:
            directory, names = os.path.dirname(self.name) or ".", [os.path.basename(self.name)]
        elif name in self._directories:
            directory = self._directories[name]
            with os.scandir(directory) as entries:
                found = (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
                names = sorted(each for each in found if is_eml(each))
        else:
            raise MailboxNotFound(f'no mailbox "{name}"')
        with contextlib.closing(Sidecar(directory)) as sidecar:
            yield EmlMailbox(directory, names, sidecar, self.notes.identity(name), named=self.single)


def is_eml(name: str) -> bool:
    """Whether a file of this name is a message."""
    return name.lower().endswith(ENDING) and name[0] != "."


class EmlMailbox:
    """A directory of messages; keys are the names of their files."""

    identity = "files"

    def __init__(
        self, directory: str, names: list[str], sidecar: Sidecar, noted: Identity | None, *, named: bool
    ) -> None:
        self._directory = directory
        self._names = names
        self._sidecar = sidecar
        self._named = named
        self.kept = noted if noted is not None and self._ascend(noted) else None

    def _ascend(self, noted: Identity) -> bool:
        """Whether each message has a UID, ascending with the names."""
        last = 0
        for name in self._names:
            uid = _number(self._sidecar.about(name).get("uid"))
            if not last < uid < noted.uid_next:
                return False
            last = uid
        return True

    def _start(self, after: Key | None) -> int:
        return 0 if after is None else bisect_right(self._names, str(after))

    def count(self, after: Key | None) -> int:
        return len(self._names) - self._start(after)

    def messages(self, after: Key | None) -> Iterator[Message]:
        for name in self._names[self._start(after) :]:
            path = f"{self._directory}/{name}"
            try:
                file = os.stat(path, follow_symlinks=self._named)
            except FileNotFoundError:
                continue
            about = self._sidecar.about(name)
            bits, keywords = split_flags(_flags(about.get("flags")))
            date = moment(about.get("date"))
            yield Message(
                name,
                bits,
                tuple(sorted(keywords)),
                file.st_mtime if date is None else date,
                file.st_size,
                partial(open_message, path, named=self._named),
                _number(about.get("uid")) if self.kept is not None else 0,
                moment(about.get("saved")) if self.kept is not None else None,
                unique_id(str(about.get("uidl", ""))) if self.kept is not None else "",
            )


def _flags(flags: object) -> Sequence[str]:
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def _number(value: object) -> int:
    return value if type(value) is int and 0 < value <= MOST_UID else 0


class Sidecar:
    """What the file beside the messages says of each, held on the disk: there may be very many."""

    def __init__(self, directory: str) -> None:
        self._known: sqlite3.Connection | None = None
        try:
            fd = open_inside(f"{directory}/{SIDECAR}")
        except (OSError, StoreError):
            return
        self._known = sqlite3.connect("")
        self._known.execute("CREATE TABLE about (file TEXT PRIMARY KEY, line BLOB) WITHOUT ROWID")
        with open(fd, "rb") as file:
            self._known.executemany(
                "INSERT OR REPLACE INTO about VALUES (?, ?)", _lines(iter(partial(file.readline, _LINE_LIMIT), b""))
            )

    def about(self, name: str) -> dict[str, Any]:
        """The entry of a file, nothing where there is none."""
        if self._known is None:
            return {}
        row = self._known.execute("SELECT line FROM about WHERE file = ?", (ascii(name),)).fetchone()
        return json.loads(row[0]) if row is not None else {}

    def close(self) -> None:
        """Forget it."""
        if self._known is not None:
            self._known.close()


def _lines(lines: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        try:
            entry = json.loads(line)
            yield ascii(entry["file"]), line
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # written by a process that died, or by hand
