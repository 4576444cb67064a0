"""Dropping what has expired, in small steps, so that no request waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pillarbox.reputation import schema
from pillarbox.reputation.database import Database

STEP: Final = 500
"""Rows dropped at once, which takes about a millisecond."""


def sweep(database: Database, now: int) -> Iterator[int]:
    """Drop expired rows; each step gives how many went.  Raises DatabaseUnavailable."""
    for table in schema.EXPIRING:
        while True:
            last = database.row(
                f"SELECT expires FROM {table} WHERE expires <= ? ORDER BY expires LIMIT 1 OFFSET {STEP - 1}", (now,)
            )
            dropped = database.change(f"DELETE FROM {table} WHERE expires <= ?", (now if last is None else last[0],))
            if dropped:
                yield dropped
            if last is None:
                break
