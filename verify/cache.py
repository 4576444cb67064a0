"""What was found out about addresses, in SQLite: one row per address, bounded, begun anew where it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass

from pillarbox.lib.log import log

FILE = "verify.sqlite"

ENTRY_LIMIT = 200_000
"""Addresses that are kept; beyond it the ones that were found out first go."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS address (
    address TEXT PRIMARY KEY,
    deliverable INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    text TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS address_updated ON address (updated);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A result; `updated` in seconds since the epoch."""

    deliverable: bool
    updated: int
    text: str


class Cache:
    """Never raises for a damaged or unwritable file: then nothing is known."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE)
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._open()
        except sqlite3.Error as error:
            self._failed(error)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            # A power loss may lose results, which a probe finds again; it must not lose the file.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _failed(self, error: sqlite3.Error) -> None:
        """A file that is no database is put out of the way, once per failure."""
        log.warning(f"{self._path}: {error} -- beginning anew")
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(self._path + suffix)
        try:
            self._connection = self._open()
        except sqlite3.Error as again:
            log.error(f"{self._path}: {again}; nothing is remembered")

    def find(self, address: str) -> Entry | None:
        """What is known."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute(
                "SELECT deliverable, updated, text FROM address WHERE address = ?", (address,)
            ).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        return None if row is None else Entry(bool(row[0]), row[1], row[2])

    def keep(self, address: str, entry: Entry) -> None:
        """Remember a result."""
        self._do(
            "INSERT OR REPLACE INTO address VALUES (?, ?, ?, ?)",
            (address, entry.deliverable, entry.updated, entry.text),
        )

    def forget(self, address: str) -> None:
        """Remember nothing of an address."""
        self._do("DELETE FROM address WHERE address = ?", (address,))

    def sweep(self, positive: int, negative: int) -> None:
        """Drop what was found out before these times, and the oldest beyond the limit."""
        self._do("DELETE FROM address WHERE updated < CASE deliverable WHEN 1 THEN ? ELSE ? END", (positive, negative))
        self._do(
            "DELETE FROM address WHERE address IN"
            " (SELECT address FROM address ORDER BY updated DESC LIMIT -1 OFFSET ?)",
            (ENTRY_LIMIT,),
        )

    def _do(self, statement: str, values: tuple[object, ...]) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            self._failed(error)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
