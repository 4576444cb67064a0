"""Notes beside mailboxes as small files: access lists, annotations, keys; of stores that are directories.

A note is read whole and replaced whole, under a lock file, and is never half-written.  An access list has the name and
the form of Dovecot's, so that one that is there is obeyed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from pillarbox.lib.store.interface import MailboxNotFound, NoteKind, OverQuota, StoreUnavailable
from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.system.files import READING, sync_directory, write_file

MAILBOX: Final[dict[NoteKind, str]] = {
    "acl": "dovecot-acl",
    "metadata": "pillarbox-metadata",
    "subscriptions": "pillarbox-subscriptions",
    "urlauth": "pillarbox-urlauth",
}
"""File names in the directory of a mailbox."""
ACCOUNT: Final[dict[NoteKind, str]] = {kind: f"pillarbox-account-{kind}" for kind in MAILBOX}
"""File names for the account as a whole, whose directory may be that of INBOX too."""
LIMIT: Final = 4 << 20
"""Octets of the largest note: the limits of annotations leave room for less."""


def read(path: str) -> bytes:
    """The note, b"" where there is none.  Raises StoreUnavailable."""
    try:
        fd = os.open(path, READING)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error
    try:
        with open(fd, "rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error
    if len(data) > LIMIT:
        raise StoreUnavailable(f"{path} is longer than {LIMIT} octets")
    return data


def change(path: str, make: Callable[[bytes], bytes]) -> None:
    """Replace the note by what `make` gives for it.  Raises MailboxBusy, MailboxNotFound, OverQuota, StoreUnavailable,
    and what `make` raises.
    """
    try:
        with dot_lock(f"{path}.lock"):
            before = read(path)
            after = make(before)
            if len(after) > LIMIT:
                raise OverQuota(f"more than {LIMIT} octets of notes")
            if after == before:
                return
            if after:
                write_file(path, after, 0o600)
            else:
                os.unlink(path)
                sync_directory(os.path.dirname(path))
    except FileNotFoundError:
        raise MailboxNotFound("the mailbox was deleted") from None
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
