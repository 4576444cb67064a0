"""How often TLS went how, in SQLite: per day, domain and policy; and per failure of each.  Bounded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from pillarbox.lib.clients.tlsrpt import TlsOutcome
from pillarbox.lib.process.kept_file import KeptFile
from pillarbox.tlsrpt.report import Applied

FILE: Final = "counts.sqlite"

SIZE_LIMIT: Final = 128 * 1024 * 1024
"""Octets of the file in use; beyond it only what is known already is counted on."""

POLICIES_LIMIT: Final = 20
"""Policies of one domain on one day; further ones are not counted."""

DETAILS_LIMIT: Final = 100
"""Different failures under one policy; further ones count in its sum only."""

TEXT_LIMIT: Final = 16 * 1024
"""Characters of a policy that are kept: a report quotes it."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS policy (
    id INTEGER PRIMARY KEY,
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    applied TEXT NOT NULL,
    success INTEGER NOT NULL,
    failure INTEGER NOT NULL,
    UNIQUE (day, domain, applied)
);
CREATE TABLE IF NOT EXISTS detail (
    policy INTEGER NOT NULL REFERENCES policy (id),
    detail TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (policy, detail)
) WITHOUT ROWID;
"""


class Counts:
    """Never raises; where the file cannot be used nothing is counted."""

    def __init__(self, directory: str) -> None:
        self._file = KeptFile(directory, FILE, _SCHEMA)

    def add(self, day: int, outcomes: Iterable[tuple[TlsOutcome, int]]) -> None:
        """Count outcomes of a day (days since the epoch), all or none."""
        room = self._file.size < SIZE_LIMIT

        def work(connection: sqlite3.Connection) -> None:
            for outcome, count in outcomes:
                _add(connection, day, outcome, count, room)

        self._file.work(work, None)

    def days(self) -> list[int]:
        """The days of which something is counted, the oldest first."""
        return [row[0] for row in self._file.rows("SELECT DISTINCT day FROM policy ORDER BY day")]

    def domains(self, day: int, after: str, limit: int) -> list[str]:
        """Domains of a day in alphabetical order, those behind `after`."""
        statement = "SELECT DISTINCT domain FROM policy WHERE day = ? AND domain > ? ORDER BY domain LIMIT ?"
        return [row[0] for row in self._file.rows(statement, day, after, limit)]

    def policies(self, day: int, domain: str) -> tuple[Applied, ...]:
        """What was counted of a domain on a day."""
        rows = self._file.rows(
            "SELECT id, applied, success, failure FROM policy WHERE day = ? AND domain = ? ORDER BY id", day, domain
        )
        return tuple(self._applied(*row) for row in rows)

    def _applied(self, identity: int, applied: str, success: int, failure: int) -> Applied:
        kind, string, mx = json.loads(applied)
        rows = self._file.rows("SELECT detail, count FROM detail WHERE policy = ? ORDER BY count DESC", identity)
        details = tuple((tuple(json.loads(detail)), count) for detail, count in rows)
        return Applied(kind, tuple(string), tuple(mx), success, failure, details)

    def forget(self, day: int, domain: str) -> None:
        """Drop a domain's counts of a day."""

        def work(connection: sqlite3.Connection) -> None:
            _forget(connection, "day = ? AND domain = ?", (day, domain))

        self._file.work(work, None)

    def forget_before(self, day: int) -> None:
        """Drop all days before."""

        def work(connection: sqlite3.Connection) -> None:
            _forget(connection, "day < ?", (day,))

        self._file.work(work, None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _add(connection: sqlite3.Connection, day: int, outcome: TlsOutcome, count: int, room: bool) -> None:
    applied = _text(outcome)
    success, failure = (0, count) if outcome.failure else (count, 0)
    key = (day, outcome.policy_domain, applied)
    changed = connection.execute(
        "UPDATE policy SET success = success + ?, failure = failure + ? WHERE day = ? AND domain = ? AND applied = ?",
        (success, failure, *key),
    ).rowcount
    if not changed:
        (known,) = connection.execute("SELECT count(*) FROM policy WHERE day = ? AND domain = ?", key[:2]).fetchone()
        if not room or known >= POLICIES_LIMIT:
            return
        connection.execute(
            "INSERT INTO policy (day, domain, applied, success, failure) VALUES (?, ?, ?, ?, ?)",
            (*key, success, failure),
        )
    if outcome.failure:
        statement = "SELECT id FROM policy WHERE day = ? AND domain = ? AND applied = ?"
        (identity,) = connection.execute(statement, key).fetchone()
        _add_detail(connection, identity, outcome, count, room)


def _add_detail(connection: sqlite3.Connection, policy: int, outcome: TlsOutcome, count: int, room: bool) -> None:
    detail = json.dumps(outcome.detail)
    statement = "UPDATE detail SET count = count + ? WHERE policy = ? AND detail = ?"
    if connection.execute(statement, (count, policy, detail)).rowcount:
        return
    (known,) = connection.execute("SELECT count(*) FROM detail WHERE policy = ?", (policy,)).fetchone()
    if room and known < DETAILS_LIMIT:
        connection.execute("INSERT INTO detail VALUES (?, ?, ?)", (policy, detail, count))


def _forget(connection: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> None:
    connection.execute(f"DELETE FROM detail WHERE policy IN (SELECT id FROM policy WHERE {condition})", values)
    connection.execute(f"DELETE FROM policy WHERE {condition}", values)


def _text(outcome: TlsOutcome) -> str:
    """The policy as it is kept; one that is too long is cut by whole lines."""
    string, mx = list(outcome.policy_string), list(outcome.mx_host)
    text = json.dumps([outcome.policy_type, string, mx])
    while len(text) > TEXT_LIMIT and (string or mx):
        (string if len(string) >= len(mx) else mx).pop()
        text = json.dumps([outcome.policy_type, string, mx])
    return text
