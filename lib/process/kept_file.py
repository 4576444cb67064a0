"""What a program keeps across restarts and can do without: one SQLite file in a directory of its own.

    kept = KeptFile(directory, "verify.sqlite", SCHEMA)
    kept.rows("SELECT ... WHERE address = ?", address)
    kept.do("DELETE FROM ...", value)
    kept.work(lambda connection: ..., default)          # one transaction

Never raises for what can happen to a file.  One that is damaged, or of another kind, is begun anew; where it cannot be
read or written (no right, full disk) nothing is known and nothing is kept, and it is tried again a little later.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from pillarbox.lib.log import log

T = TypeVar("T")
Row: TypeAlias = "tuple[Any, ...]"

RETRY_AFTER: Final = 30.0
"""Seconds until a file that could not be opened or written is tried again."""

BUSY_TIMEOUT: Final = 1.0
"""Seconds to wait for the process that this one replaces."""

_DAMAGED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR))
"""SQLITE_ERROR: the tables are not ours, or those of another version."""


class KeptFile:
    """For one thread.  `durable`: what was changed is on the disk when `work` or `do` returns; else a power loss may
    take the last changes, never the file."""

    def __init__(
        self,
        directory: str,
        name: str,
        schema: str,
        *,
        durable: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = os.path.join(directory, name)
        self._schema = schema
        self._synchronous = "FULL" if durable else "NORMAL"
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._down_until = float("-inf")
        self._opened()

    def rows(self, statement: str, *values: object) -> list[Row]:
        """The answer to a question; [] where nothing is known."""
        return self._try(lambda connection: list(connection.execute(statement, values)), [])

    def do(self, statement: str, *values: object) -> bool:
        """Make one change; whether it was made."""

        def change(connection: sqlite3.Connection) -> bool:
            connection.execute(statement, values)
            return True

        return self._try(change, False)

    def work(self, function: Callable[[sqlite3.Connection], T], default: T) -> T:
        """What `function` returns, as one transaction; `default` where that failed, and then nothing was changed."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = function(connection)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            return result

        return self._try(transaction, default)

    @property
    def size(self) -> int:
        """Octets in use, without what has become free."""
        names = ("page_count", "freelist_count", "page_size")
        numbers = [row[0] for name in names for row in self.rows(f"PRAGMA {name}")]
        return (numbers[0] - numbers[1]) * numbers[2] if len(numbers) == 3 else 0

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # --- trouble

    def _try(self, work: Callable[[sqlite3.Connection], T], default: T) -> T:
        connection = self._opened()
        if connection is None:
            return default
        try:
            return work(connection)
        except sqlite3.Error as error:
            self._failed(error)
            return default

    def _failed(self, error: sqlite3.Error) -> None:
        if _is_damage(error):
            self._begin_anew(error)
        else:
            self._rest(error)

    def _rest(self, error: sqlite3.Error | OSError) -> None:
        self.close()
        self._down_until = self._clock() + RETRY_AFTER
        log.error(f"{self.path}: {error}; nothing is remembered for {RETRY_AFTER:g} seconds")

    def _begin_anew(self, error: sqlite3.Error) -> None:
        """Once per failure: a new file that fails too is left alone for a while."""
        log.warning(f"{self.path}: {error} -- beginning anew")
        self.close()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(self.path + suffix)
        try:
            self._connection = self._open()
        except sqlite3.Error as again:
            self._rest(again)

    # --- the file

    def _opened(self) -> sqlite3.Connection | None:
        if self._connection is None and self._clock() >= self._down_until:
            try:
                self._connection = self._open()
            except sqlite3.Error as error:
                self._failed(error)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGED
