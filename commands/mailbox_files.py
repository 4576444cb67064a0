"""What sources that are files of no store have in common: finding mailboxes in a tree, and never leaving it.

Symbolic links below the place that was named are not followed, whatever they lead to: they are told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from pillarbox.commands.mailbox_export_notes import ExportNotes
from pillarbox.lib.store.content import FileContent
from pillarbox.lib.store.interface import DELIMITER, INBOX, MessageContent, NoteKind, StoreError, StoreUnavailable
from pillarbox.lib.system.files import READING

_DEEPEST: Final = 100
"""Levels of directories."""
_TOLD: Final = 100
"""Things passed over that are told one by one."""


class FileSource:
    """The tree, or the single file, at `path`."""

    def __init__(self, path: str) -> None:
        self.name = path
        self.single = not os.path.isdir(path)
        self.notes = ExportNotes("" if self.single else path)
        self._passed_over: list[str] = []

    def subscriptions(self) -> Sequence[str]:
        return self.notes.subscriptions()

    def note(self, mailbox: str, kind: NoteKind) -> bytes:
        return self.notes.note(mailbox, kind)

    def passed_over(self) -> Sequence[str]:
        return self._passed_over

    def entries(self, directory: str) -> Iterator[os.DirEntry[str]]:
        """Directories and files, by name; what is hidden is left out.  Raises OSError."""
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
                yield entry
            else:
                self.pass_over(entry.path, "a symbolic link is not followed" if entry.is_symlink() else "it is no file")

    def may_enter(self, path: str, prefix: str) -> bool:
        """Whether the directory at `path`, in the mailbox `prefix`, is gone through; one that is not is told."""
        if prefix.count(DELIMITER) < _DEEPEST:
            return True
        self.pass_over(path, "it lies too deep")
        return False

    def pass_over(self, path: str, why: str) -> None:
        """To be told."""
        if len(self._passed_over) < _TOLD:
            self._passed_over.append(f"{path}: {why}")


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or one like it where another file has the same when it is read as a mailbox's."""
    if name.upper() == INBOX:
        name = INBOX
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found


def open_inside(path: str, *, named: bool = False) -> int:
    """Open a regular file for reading; only the one that was `named` may be a symbolic link.

    Raises StoreUnavailable, OSError.
    """
    fd = os.open(path, READING & ~os.O_NOFOLLOW if named else READING)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise StoreUnavailable(f"{path} is no file")
    return fd


def open_message(path: str, *, named: bool = False) -> MessageContent:
    """As `open_inside`, of a file that is a message."""
    fd = open_inside(path, named=named)
    try:
        return FileContent(fd, ((0, os.fstat(fd).st_size),))
    except (OSError, StoreError):
        os.close(fd)
        raise
