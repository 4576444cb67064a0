"""Making a Maildir: `tmp`, `new`, `cur` under a directory, all 0700, durable before a message goes in; and the
folders of Maildir++ below it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from typing import Final

from pillarbox.lib.store.interface import DELIMITER
from pillarbox.lib.store.maildir import folders
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


def folder_directory(folder: str) -> str:
    """The directory of a mailbox below the account's Maildir, "" for INBOX.

    Levels are separated by `/` or by `.`, which no level of a Maildir++ name can have in it.  Raises BadMailboxName.
    """
    return folders.directory_name(folders.canonical(folder.replace(".", DELIMITER)))


def make_folder(root: str, name: str) -> bool:
    """Make the Maildir++ folder with the directory `name` below the Maildir `root`, which is made too.

    One that exists stays; then the answer is False.  It is made aside and renamed: a folder that can be seen is
    complete.  Raises OSError.
    """
    path = f"{root}/{name}"
    make_maildir(root)
    aside = f"{root}/{folders.REMOVED}{secrets.token_hex(8)}"
    make_maildir(aside)
    try:
        with open(f"{aside}/maildirfolder", "xb"):
            pass
        sync_directory(aside)
        os.rename(aside, path)
        sync_directory(root)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not os.path.isdir(path):
            raise
        return False
    return True
