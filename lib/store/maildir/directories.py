"""Making a Maildir: `tmp`, `new`, `cur` under a directory, all 0700, durable before a message goes in."""

from __future__ import annotations

import os
from typing import Final

from pillarbox.lib.system.files import sync_directory

SUBDIRECTORIES: Final = ("tmp", "new", "cur")
MODE: Final = 0o700


def make_directory(path: str) -> None:
    """Make `path` and the missing levels above it; each new name is synced before it is used.  Raises OSError."""
    try:
        os.mkdir(path, MODE)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if not parent or parent == path:
            raise
        make_directory(parent)
        try:
            os.mkdir(path, MODE)
        except FileExistsError:
            return
    sync_directory(os.path.dirname(path) or ".")


def make_maildir(path: str) -> None:
    """Make the Maildir at `path`; what exists stays.  `cur` comes last: a Maildir that has it is complete."""
    make_directory(path)
    made = False
    for name in SUBDIRECTORIES:
        try:
            os.mkdir(f"{path}/{name}", MODE)
            made = True
        except FileExistsError:
            pass
    if made:
        sync_directory(path)
