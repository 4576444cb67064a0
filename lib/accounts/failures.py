"""SQLite's errors as ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pillarbox.lib.accounts.errors import AccountsUnavailable


@contextmanager
def failures(path: str = "") -> Iterator[None]:
    """Inside it what SQLite raises becomes AccountsUnavailable."""
    try:
        yield
    except sqlite3.Error as error:
        place = f" {path}" if path else ""
        raise AccountsUnavailable(f"account database{place}: {error}") from None
