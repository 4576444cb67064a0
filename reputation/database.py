"""The database file: opened, written in batches, bounded, and begun anew where it is damaged.

A change is visible at once and on its way to the disk within the commit interval: changes share a transaction, which a
timer ends.  Commits do not wait for the disk (WAL, synchronous=NORMAL); the copying from the log into the database,
which does, is left to a thread.  A killed process loses the changes of the last interval, never the database.

Nothing that is in here is worth refusing mail: a damaged or foreign file is moved aside (one is kept) and a new one
begun; when it cannot be written (full disk, no right) every method raises `DatabaseUnavailable` for `RETRY_AFTER`
seconds, so that callers let mail pass instead of forgetting what they have just promised.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from pillarbox.lib.log import log
from pillarbox.reputation import schema

NAME: Final = "reputation.sqlite"
ASIDE: Final = "damaged.sqlite"

BUSY_TIMEOUT: Final = 1.0
"""Seconds to wait for the process that this one replaces, which commits several times a second."""

RETRY_AFTER: Final = 30.0
"""Seconds until a database that failed is tried again."""

CHECKPOINT_PAGES: Final = 1000
"""Pages of the write-ahead log after which it is copied into the database."""

_DAMAGED: Final = frozenset(
    (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR)
)
_MARGIN: Final = 0.9
"""The part of the bound beyond which a full database is full by our own bound, not for lack of disk."""

Row: TypeAlias = "tuple[Any, ...]"
T = TypeVar("T")


class DatabaseUnavailable(Exception):
    """Nothing is known and nothing can be kept now."""


class Database:
    """The database in a directory; for one thread.  `changed` is called when a transaction was begun."""

    def __init__(
        self,
        directory: str,
        size_limit: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = f"{directory}/{NAME}"
        self._aside = f"{directory}/{ASIDE}"
        self._size_limit = size_limit
        self._clock = clock
        self._changed = changed
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._down_until = 0.0
        self._why = ""
        self._checkpointing: threading.Thread | None = None

    # --- questions and changes

    def row(self, statement: str, values: Sequence[object] = ()) -> Row | None:
        """The first row of an answer.  Raises DatabaseUnavailable."""

        def ask(connection: sqlite3.Connection) -> Row | None:
            row: Row | None = connection.execute(statement, values).fetchone()
            return row

        return self._try(ask)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows of an answer.  Raises DatabaseUnavailable."""
        return self._try(lambda connection: connection.execute(statement, values).fetchall())

    def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Make a change; how many rows it concerned.  Raises DatabaseUnavailable."""
        return self.change_all(((statement, values),))

    def change_all(self, changes: Sequence[tuple[str, Sequence[object]]]) -> int:
        """Make changes that belong together; how many rows they concerned.  Raises DatabaseUnavailable."""

        def make(connection: sqlite3.Connection) -> int:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
                self._changed()
            return sum(connection.execute(statement, values).rowcount for statement, values in changes)

        return self._try(make)

    def commit(self) -> None:
        """End the transaction; a failure is logged, and what it held is lost."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._failed(error)
            return
        self._notice_removal()
        self._checkpoint_when_long()

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        if self._checkpointing is not None:
            self._checkpointing.join()
        self._drop()

    # --- trouble

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        for attempt in (1, 2):
            connection = self._opened()
            try:
                return work(connection)
            except sqlite3.Error as error:
                if attempt == 1 and _code(error) == sqlite3.SQLITE_FULL and self._make_room():
                    continue
                self._failed(error)
                if attempt == 1 and _code(error) in _DAMAGED:
                    continue  # in the new database
                raise DatabaseUnavailable(str(error)) from None
        raise AssertionError("unreachable")

    def _failed(self, error: sqlite3.Error) -> None:
        self._drop()
        if _code(error) in _DAMAGED:
            self._set_aside(str(error))
        else:
            self._rest(str(error))

    def _rest(self, why: str) -> None:
        self._why = why
        self._down_until = self._clock() + RETRY_AFTER
        log.error(f"{self.path}: {why}; nothing is known and nothing is limited for {RETRY_AFTER:g} seconds")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _set_aside(self, why: str) -> None:
        log.error(f"{self.path}: {why}; it is moved to {self._aside}, and a new one begun")
        self._remove_logs()
        try:
            os.replace(self.path, self._aside)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._rest(f"cannot be moved aside: {error.strerror}")

    def _remove_logs(self) -> None:
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(self.path + ending)

    def _notice_removal(self) -> None:
        """A file that was deleted or replaced under us would take what is learnt with it at the next restart."""
        if self._connection is not None and _identity(self.path) != self._file:
            log.warning(f"{self.path} was removed; a new one is begun")
            self._drop()
            if _identity(self.path) is None:
                self._remove_logs()  # they belong to the file that has gone

    # --- the file

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if self._clock() < self._down_until:
            raise DatabaseUnavailable(self._why)
        for attempt in (1, 2):
            try:
                self._connection = self._open()
                self._file = _identity(self.path)
                return self._connection
            except sqlite3.Error as error:
                self._failed(error)
                if attempt == 2 or _code(error) not in _DAMAGED or self._clock() < self._down_until:
                    raise DatabaseUnavailable(str(error)) from None
        raise AssertionError("unreachable")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {self._size_limit}")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA temp_store = MEMORY")
            (page_size,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(self._size_limit // page_size, 32)}")
            found = schema.version(connection)
            if found == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
                schema.create(connection)
            elif schema.upgrade(connection, found) != schema.VERSION:
                raise sqlite3.DatabaseError(f"is a database of another kind (version {found})")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            if self._why:
                # It has failed before: only who can write may promise to remember.
                connection.execute(f"PRAGMA user_version = {schema.VERSION}")
                self._why = ""
        except BaseException:
            connection.close()
            raise
        return connection

    # --- room

    def pages(self) -> tuple[int, int]:
        """Pages in use, and how many there may be.  Raises DatabaseUnavailable."""

        def count(connection: sqlite3.Connection) -> tuple[int, int]:
            used, free, most = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "max_page_count")
            )
            return used - free, most

        return self._try(count)

    def _make_room(self) -> bool:
        """Forget a tenth of every table where it is our own bound that was reached; whether that was so."""
        connection = self._connection
        assert connection is not None
        try:
            used, most = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "max_page_count")
            )
            if used < most * _MARGIN:
                return False
            if connection.in_transaction:
                connection.execute("COMMIT")
            connection.execute(f"PRAGMA max_page_count = {most + most // 8}")  # for what deleting itself needs
            for table in schema.SHORTENED:
                (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                connection.execute(
                    f"DELETE FROM {table} WHERE expires <= "
                    f"(SELECT expires FROM {table} ORDER BY expires LIMIT 1 OFFSET {max(rows // 10 - 1, 0)})"
                )
            connection.execute(f"PRAGMA max_page_count = {most}")
        except sqlite3.Error:
            return False
        log.warning(f"{self.path} has reached reputation_size_limit: what was oldest is forgotten")
        return True

    def _checkpoint_when_long(self) -> None:
        if self._checkpointing is not None and self._checkpointing.is_alive():
            return
        try:
            if os.stat(f"{self.path}-wal").st_size < CHECKPOINT_PAGES * 4096:
                return
        except OSError:
            return
        self._checkpointing = threading.Thread(target=_checkpoint, args=(self.path,), daemon=True)
        self._checkpointing.start()


def _checkpoint(path: str) -> None:
    """Copy the log into the database, on a connection of this thread's own; what fails is tried again later."""
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; one that is ours (another version, a failed check) counts as damage."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)) & 0xFF


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
