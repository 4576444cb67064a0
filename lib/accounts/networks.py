"""From where each account has logged in, so that its owner is told from strangers who only know its name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from pillarbox.lib.accounts.failures import failures

LIFETIME = 90 * 86400.0
"""Seconds since the last login after which a network is a stranger's again."""

MOST = 50
"""Networks kept for an account; phones come from many, and the latest ones count."""


class KnownNetworks:
    """The table, on the connection of an `AccountDatabase`; methods raise AccountsUnavailable when it fails."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock

    def seen(self, address: str, network: str) -> float:
        """When the account last logged in from a network, in seconds since the epoch; 0 for never, or too long ago."""
        with failures():
            statement = "SELECT seen FROM known_networks WHERE address = ? AND network = ?"
            row = self._connection.execute(statement, (address, network)).fetchone()
        return float(row[0]) if row is not None and row[0] > self._clock() - LIFETIME else 0.0

    def forget(self, address: str) -> None:
        """The account is no more."""
        with failures():
            self._connection.execute("DELETE FROM known_networks WHERE address = ?", (address,))

    def record(self, address: str, network: str) -> None:
        """Note a login; those that are old or too many are forgotten."""
        now = self._clock()
        with failures():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(
                    "INSERT INTO known_networks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET seen = ?3",
                    (address, network, now),
                )
                self._connection.execute(
                    "DELETE FROM known_networks WHERE address = ?1 AND (seen <= ?2 OR network NOT IN"
                    " (SELECT network FROM known_networks WHERE address = ?1 ORDER BY seen DESC LIMIT ?3))",
                    (address, now - LIFETIME, MOST),
                )
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
