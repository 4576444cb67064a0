"""POP3 unique-ids of an mbox file that came from another store: lines of UID and unique-id beside the index."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pillarbox.lib.system.files import sync_directory, without_waiting, write_all


def read_uidls(path: str) -> dict[int, str]:
    """Unique-ids by UID; nothing where there is no such file."""
    found = {}
    try:
        with open(path, encoding="ascii", errors="replace", opener=without_waiting) as file:
            for line in file:
                uid, _, uidl = line.rstrip("\n").partition(" ")
                if uid.isdigit() and 0 < len(uidl) <= 70:
                    found[int(uid)] = uidl
    except OSError:
        pass
    return found


def add_uidls(path: str, known: Iterable[tuple[int, str]]) -> None:
    """Write down more of them, synced.  Raises OSError."""
    lines = "".join(f"{uid} {uidl}\n" for uid, uidl in known)
    if lines:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            new = not os.fstat(fd).st_size
            write_all(fd, lines.encode("ascii", "replace"))
            os.fdatasync(fd)
            if new:
                sync_directory(os.path.dirname(path))
        finally:
            os.close(fd)
