"""`sqlite:FILE`: a table in an SQLite database, sqlite_table(5).

The database is opened, read-only, when the file of the table is read: before the process gives up its rights, so that
only its owner need be able to read it.  What others write into it is seen at once; a database that is replaced is
opened again.  A query that takes longer than `timeout` (10 s) is ended.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from urllib.parse import quote

from pillarbox.lib.tables.errors import LookupFailed, TableChanged
from pillarbox.lib.tables.query_pool import QueryFailed
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_source import query_of
from pillarbox.lib.tables.query_sql import SQLITE
from pillarbox.lib.tables.query_table import Result, Source, open_query_table
from pillarbox.lib.tables.query_template import Values
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Reach, Table

KNOWN = ("dbpath", "query", "table", "select_field", "where_field", "additional_conditions")
INSTRUCTIONS = 10_000
"""SQLite's instructions between two looks at the clock: about a millisecond."""

BUSY = 2.0
"""Seconds to wait for a writer that keeps readers out."""


class SqliteSource(Source):
    """What one file says, with the open database.  One query at a time."""

    servers = ()

    def __init__(self, settings: Settings, registry: Registry, options: Options) -> None:
        """Raises ValueError, PermissionError."""
        self._query = query_of(settings, SQLITE)
        super().__init__(settings, self._query.templates(), registry, options)
        self._path = settings.needed("dbpath")
        self._denied = options.denied
        self._lock = threading.Lock()
        self._end = 0.0
        self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            status = os.stat(self._path)  # before it is opened: a change meanwhile is seen at the next look-up
            os.close(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC))  # says why it cannot be opened
        except PermissionError:
            raise
        except OSError as error:
            raise self.settings.wrong("dbpath", f"{self._path}: {error.strerror}") from None
        try:
            database = sqlite3.connect(
                f"file:{quote(self._path)}?mode=ro",
                uri=True,
                timeout=min(self.timeout, BUSY),
                isolation_level=None,
                check_same_thread=False,
            )
            database.text_factory = _text
            database.execute("PRAGMA query_only = 1")
            # Opens what belongs to it (write-ahead log), as long as that may be done.
            database.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error as error:
            raise self.settings.wrong("dbpath", f"{self._path}: {error}") from None
        database.set_progress_handler(self._late, INSTRUCTIONS)
        self._identity = (status.st_dev, status.st_ino)
        return database

    def _late(self) -> bool:
        return time.monotonic() > self._end

    def find(self, values: Values, result: Result) -> None:
        query = self._query.fill(values, _literal)
        with self._lock:
            self._look_at_file()
            self._end = time.monotonic() + self.timeout
            try:
                for row in self._database.execute(query):
                    # As in Postfix, the first column counts.
                    result.add(None if row[0] is None else _text(row[0]) if isinstance(row[0], bytes) else str(row[0]))
            except (sqlite3.Error, sqlite3.Warning) as error:
                reason = f"no result within {self.timeout} s" if time.monotonic() > self._end else error
                raise QueryFailed(f"{self._path}: {reason}") from None

    def _look_at_file(self) -> None:
        """Open a database that has taken the place of the one that is open.  Raises LookupFailed."""
        try:
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._identity:
                return
            replaced = self._open()
        except PermissionError as error:
            if self._denied is None:
                raise LookupFailed(f"{self._path}: {error.strerror}") from None
            self._denied(self._path)
            raise TableChanged(f"{self._path} has changed") from None
        except (OSError, ValueError) as error:
            raise LookupFailed(f"{self._path}: {getattr(error, 'strerror', None) or error}") from None
        self._database.close()
        self._database = replaced

    def reach(self) -> Reach:
        return self.domains.reach()

    def files(self) -> tuple[str, ...]:
        own = [self._path, *(self._path + suffix for suffix in ("-wal", "-shm", "-journal"))]
        return (*super().files(), *own)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _literal(text: str) -> str:
    """A text as a literal of SQLite; keys have no NUL."""
    return "'" + text.replace("'", "''") + "'"


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `sqlite:FILE`."""
    return open_query_table(spec, options, registry, KNOWN, SqliteSource)
