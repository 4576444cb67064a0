"""What an account in a file of its own holds, for who counts for a whole domain: one look at the counts in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from pillarbox.lib.store.quota import Usage

ENDINGS: Final = (".sqlite", ".sqlite3", ".db")
"""By these a database is known.  It may not be opened to look into it but by SQLite: closing it would take the locks of
this process away."""


def count_database(path: str, counts: Callable[[str], bool]) -> Usage:
    """What lies in it in the mailboxes whose names `counts`; nothing for a file of others.  Raises OSError."""
    usage = Usage()
    if not path.endswith(ENDINGS):
        return usage
    import sqlite3

    from pillarbox.lib.store.sql.sqlite import APPLICATION

    try:
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True, timeout=1.0)
        with contextlib.closing(connection):
            if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
                return usage
            for name, size, messages in connection.execute("SELECT name, size, messages FROM mailboxes"):
                if counts(name):
                    usage = usage.plus(size, messages)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            return usage
        raise OSError(f"{path}: {error}") from error
    return usage


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
