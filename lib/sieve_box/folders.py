"""What a script may know of a user's mailboxes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from pillarbox.lib.store.interface import INBOX, BadMailboxName, Store, StoreError
from pillarbox.lib.store.maildir.directories import folder_directory


class Folders(Protocol):
    """The mailboxes of one user."""

    def exists(self, name: str) -> bool:
        """Whether there is a mailbox of this name."""

    def possible(self, name: str) -> bool:
        """Whether a mailbox can have this name."""


class MaildirFolders:
    """The folders of a Maildir++ tree; `.` and `/` both separate levels."""

    def __init__(self, maildir: str) -> None:
        self._maildir = maildir

    def exists(self, name: str) -> bool:
        """INBOX is always there: it is made by the delivery."""
        try:
            directory = folder_directory(name)
        except BadMailboxName:
            return False
        return not directory or os.path.isdir(f"{self._maildir}/{directory}")

    def possible(self, name: str) -> bool:
        """Whether a folder can have this name."""
        try:
            folder_directory(name)
        except BadMailboxName:
            return False
        return True


class StoreFolders:
    """The mailboxes of any store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def exists(self, name: str) -> bool:
        """Whether the store has it; a store that cannot be reached has none but INBOX."""
        if name.upper() == INBOX:
            return True
        try:
            return self._store.exists(name)
        except StoreError:
            return False

    def possible(self, name: str) -> bool:
        """Whether the store says nothing against the name."""
        try:
            self._store.exists(name)
        except BadMailboxName:
            return False
        except StoreError:
            return True
        return True


class NoFolders:
    """For where no mailbox is at hand: every name might be one."""

    def exists(self, name: str) -> bool:
        """It might be there."""
        return True

    def possible(self, name: str) -> bool:
        """It might be one."""
        return True


def special_use_of(entries: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Attribute (`\\trash`, lower case) to mailboxes, from imap_special_use's words NAME=PURPOSE (RFC 8579)."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name, _, purpose = entry.rpartition("=")
        key = f"\\{purpose.lower()}"
        found[key] = (*found.get(key, ()), name)
    return found
