"""What has become of each report, in SQLite, on the disk before anything is sent: so that nothing is sent twice.

A place is struck off before a report goes there, and comes back on the list only where it is known not to have
arrived.  A process that is killed in between leaves it struck off.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.process.kept_file import KeptFile

FILE: Final = "reports.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS day (
    day INTEGER PRIMARY KEY,
    due INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS report (
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    id TEXT NOT NULL,
    places TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (day, domain)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mailed (
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, domain)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A report: where it is still to go, how often that was tried, and when it is tried next (seconds since the epoch).

    `id` "" says that the domain has not said yet what it wants; with an `id` and no `places` it is settled.
    """

    id: str = ""
    places: tuple[str, ...] = ()
    attempts: int = 0
    next: int = 0

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be done."""
        return bool(self.id) and not self.places


class Ledger:
    """`durable` (always, but for tests): each change is on the disk before the method returns."""

    def __init__(self, directory: str, *, durable: bool = True) -> None:
        self._file = KeptFile(directory, FILE, _SCHEMA, durable=durable)

    def due(self, day: int, proposal: int) -> int:
        """When reports on a day are due: at `proposal`, once and for all."""
        self._file.do("INSERT OR IGNORE INTO day VALUES (?, ?)", day, proposal)
        rows = self._file.rows("SELECT due FROM day WHERE day = ?", day)
        return int(rows[0][0]) if rows else proposal

    def find(self, day: int, domain: str) -> Entry:
        """What is known of a report."""
        statement = "SELECT id, places, attempts, next FROM report WHERE day = ? AND domain = ?"
        for identity, places, attempts, following in self._file.rows(statement, day, domain):
            return Entry(identity, tuple(json.loads(places)), attempts, following)
        return Entry()

    def write(self, day: int, domain: str, entry: Entry) -> bool:
        """Note what is to become of a report; False where that cannot be kept: then nothing may be sent."""
        values = (entry.id, json.dumps(entry.places), entry.attempts, entry.next)
        return self._file.do("INSERT OR REPLACE INTO report VALUES (?, ?, ?, ?, ?, ?)", day, domain, *values)

    def mailed(self, day: int, domain: str) -> int:
        """How many reports went by mail to addresses of a domain on a day."""
        rows = self._file.rows("SELECT count FROM mailed WHERE day = ? AND domain = ?", day, domain)
        return int(rows[0][0]) if rows else 0

    def note_mailed(self, day: int, domain: str) -> None:
        """A report goes by mail to an address of a domain."""
        self._file.do(
            "INSERT INTO mailed VALUES (?, ?, 1) ON CONFLICT (day, domain) DO UPDATE SET count = count + 1", day, domain
        )

    def forget_before(self, day: int) -> None:
        """Drop what is about days before."""

        def work(connection: sqlite3.Connection) -> None:
            for table in ("day", "report", "mailed"):
                connection.execute(f"DELETE FROM {table} WHERE day < ?", (day,))

        self._file.work(work, None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
