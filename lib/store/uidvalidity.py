"""New UIDVALIDITY values: never one that a mailbox of the account had before (RFC 9051 section 2.3.1.1)."""

from __future__ import annotations

import time
from typing import Final

from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.system.files import without_waiting, write_file

NAME: Final = "dovecot-uidvalidity"
"""The file that holds the highest value given, as eight hexadecimal digits (Dovecot's name and form)."""


def new_uid_validity(root: str) -> int:
    """A UIDVALIDITY higher than any given before in this account: the time, or the last one plus one."""
    path = f"{root}/{NAME}"
    with dot_lock(f"{path}.lock"):
        fresh = max(int(time.time()), _last(path) + 1) & 0xFFFFFFFF
        write_file(path, b"%08x" % fresh, 0o600)
    return fresh


def note_uid_validity(root: str, given: int) -> None:
    """A mailbox has this one from elsewhere: those given from now on are higher."""
    path = f"{root}/{NAME}"
    with dot_lock(f"{path}.lock"):
        if given > _last(path):
            write_file(path, b"%08x" % given, 0o600)


def _last(path: str) -> int:
    try:
        with open(path, "rb", opener=without_waiting) as file:
            return int(file.read(16).strip() or b"0", 16)
    except (FileNotFoundError, ValueError):
        return 0
