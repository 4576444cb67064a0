"""What was found out about addresses: one row per address, bounded, begun anew where the file is damaged."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.process.kept_file import KeptFile

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
        self._file = KeptFile(directory, FILE, _SCHEMA)

    def find(self, address: str) -> Entry | None:
        """What is known."""
        rows = self._file.rows("SELECT deliverable, updated, text FROM address WHERE address = ?", address)
        return Entry(bool(rows[0][0]), rows[0][1], rows[0][2]) if rows else None

    def keep(self, address: str, entry: Entry) -> None:
        """Remember a result."""
        values = (address, entry.deliverable, entry.updated, entry.text)
        self._file.do("INSERT OR REPLACE INTO address VALUES (?, ?, ?, ?)", *values)

    def forget(self, address: str) -> None:
        """Remember nothing of an address."""
        self._file.do("DELETE FROM address WHERE address = ?", address)

    def sweep(self, positive: int, negative: int) -> None:
        """Drop what was found out before these times, and the oldest beyond the limit."""
        self._file.do(
            "DELETE FROM address WHERE updated < CASE deliverable WHEN 1 THEN ? ELSE ? END", positive, negative
        )
        self._file.do(
            "DELETE FROM address WHERE address IN"
            " (SELECT address FROM address ORDER BY updated DESC LIMIT -1 OFFSET ?)",
            ENTRY_LIMIT,
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
