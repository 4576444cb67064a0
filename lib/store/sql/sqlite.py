"""SQLite: one file for each account, in WAL mode, so that readers and a writer do not wait for each other.

Of a commit that must be durable the log is synced; others survive the end of the process, not a power loss.  A file
that is replaced under a running session is opened anew, one that is removed is not: nothing may be written to a file
that nobody finds again.  The file is never mapped: a page that cannot be read is an error, not the end of the process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from pillarbox.lib.store.interface import MailboxBusy, OverQuota, StoreError, StoreUnavailable
from pillarbox.lib.store.locks import LOCK_TIMEOUT, session_lock
from pillarbox.lib.store.patience import busy, limit
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import schema
from pillarbox.lib.store.sql.database import NEW_ACCOUNT, Database, Row, Transaction, Value
from pillarbox.lib.store.sql.totals import DomainTotal, file_total

_AT_FIRST: Final = (
    "PRAGMA page_size = 8192",  # a body of some kilobytes in few pages
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
)
"""Said of a new file only: it would write, and wait for a writer, each time."""
_SETTINGS: Final = (
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA cache_size = -512",  # kilobytes, of a session among thousands
    "PRAGMA trusted_schema = OFF",
    "PRAGMA synchronous = FULL",
)
APPLICATION: Final = 0x50426F78
"""PBox: what `file` can tell the database by."""
_MODE: Final = 0o600
_VACUUM_PAGES: Final = 256
"""Pages that are given back to the file system at a time."""


class SqliteTransaction(Transaction):
    """Statements on the one connection."""

    account: Value = 0
    lock = ""  # BEGIN IMMEDIATE has it all

    def __init__(self, connection: sqlite3.Connection, total: DomainTotal | None) -> None:
        self._connection = connection
        self.total = total

    def rows(self, statement: str, *values: Value) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def execute(self, statement: str, *values: Value) -> int:
        return self._connection.execute(statement, values).rowcount

    def many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        self._connection.executemany(statement, rows)

    def among(self, column: str, number: int) -> str:
        return f"{column} IN (SELECT value FROM json_each(?{number}))"

    def listed(self, numbers: Iterable[int]) -> Value:
        return f"[{','.join(map(str, numbers))}]"

    def joined(self, column: str) -> str:
        return f"group_concat({column}, char(10))"

    def notify(self, mailbox: int) -> None:
        pass  # the file's change is seen


class SqliteDatabase(Database):
    """The database in the file at `path`, which is made where there is none."""

    account: Value = 0

    def __init__(self, path: str) -> None:
        self.where = path
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._durable = True
        self._wait = LOCK_TIMEOUT

    def count_for(self, quota: Quota) -> None:
        self.total = file_total(self._path, quota)

    def there(self) -> bool:
        return os.path.exists(self._path)

    # --- the connection
    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is there now.  Raises StoreError."""
        try:
            about = os.stat(self._path)
        except FileNotFoundError:
            if self._file is not None:
                self._disconnect()
                raise StoreUnavailable(f"{self._path} was removed") from None
            self._make()
            about = os.stat(self._path)
        except OSError as error:
            raise StoreUnavailable(f"cannot open {self._path}: {error.strerror}") from error
        file = (about.st_dev, about.st_ino)
        if self._connection is not None and file == self._file:
            return self._connection
        self._disconnect()
        with failures(self._path):
            connection = sqlite3.connect(
                self._path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            try:
                new = connection.execute("PRAGMA user_version").fetchone() == (0,)
                for setting in (*_AT_FIRST, *_SETTINGS) if new else _SETTINGS:
                    connection.execute(setting)
                _migrate(connection, self._path)
            except BaseException:
                connection.close()
                raise
        self._connection, self._file, self._durable, self._wait = connection, file, True, LOCK_TIMEOUT
        return connection

    def _make(self) -> None:
        """An empty file with the right mode, before SQLite makes one by the umask."""
        try:
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._path, flags, _MODE))
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreUnavailable(f"cannot make {self._path}: {error.strerror}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.close()
            except sqlite3.Error:
                pass

    # --- transactions
    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._lock, failures(self._path):
            connection = self._connected()
            connection.execute("BEGIN")
            try:
                yield SqliteTransaction(connection, self.total)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[Transaction]:
        with self._lock, failures(self._path):
            connection = self._connected()
            if durable != self._durable:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            if (wait := limit(LOCK_TIMEOUT)) != self._wait:
                connection.execute(f"PRAGMA busy_timeout = {wait * 1000:.0f}")
                self._wait = wait
            connection.execute("BEGIN IMMEDIATE")
            try:
                transaction = SqliteTransaction(connection, self.total)
                yield transaction
                transaction.settle()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        if self.total is not None and any(transaction.pending):
            self.total.add(transaction, *transaction.pending)

    def single(self, statement: str, *values: Value) -> list[Row]:
        with self._lock, failures(self._path):
            return self._connected().execute(statement, values).fetchall()

    def stamp(self) -> object:
        with self._lock, failures(self._path):
            connection = self._connected()
            # The one tells of others' commits, the other of our own.
            (others,) = connection.execute("PRAGMA data_version").fetchone()
            return self._file, others, connection.total_changes

    def shrink(self) -> None:
        """Give some of the free pages back to the file system; where another one writes, the next time."""
        with contextlib.suppress(MailboxBusy), self._lock, failures(self._path):
            self._connected().executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

    # --- beside the tables
    def watch_paths(self) -> tuple[str, ...]:
        return (os.path.dirname(self._path),)

    def watch_fd(self, mailbox: int) -> int | None:
        return None

    def unwatch(self, fd: int) -> None:
        pass

    def beside(self, what: str, mailbox: int) -> str | None:
        # In a directory of its own: who watches that of the database is not woken.
        folder = f"{self._path}.{what}"
        with contextlib.suppress(OSError):
            os.mkdir(folder, 0o700)
        return f"{folder}/{mailbox}"

    def wrong(self) -> list[str]:
        try:
            return [text for (text,) in self.single("PRAGMA integrity_check(20)") if text != "ok"]
        except StoreUnavailable as error:  # so damaged that it cannot even be looked at
            return [str(error)]

    def session_lock(self, mailbox: int) -> AbstractContextManager[None]:
        path = f"{self._path}-session{mailbox}.lock"
        return session_lock(path)

    def close(self) -> None:
        with self._lock:
            self._disconnect()


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file to the present version, each step with its number in one transaction.  Raises StoreUnavailable."""
    while True:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == schema.VERSION:
            return
        if found > schema.VERSION:
            raise StoreUnavailable(f"{path} has schema version {found}, this suite knows {schema.VERSION}: upgrade it")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone() == (found,):
                for statement in schema.statements(
                    found, account="INTEGER", binary="BLOB", without_rowid=" WITHOUT ROWID"
                ):
                    connection.execute(statement)
                connection.execute(NEW_ACCOUNT, (SqliteDatabase.account,))
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {found + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def failures(path: str) -> Iterator[None]:
    """SQLite's errors in the store's terms."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: str) -> StoreError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return busy("the mailbox is held by another process")
    if code == sqlite3.SQLITE_FULL:
        return OverQuota("no space left on the device")
    return StoreUnavailable(f"{path}: {error}")
