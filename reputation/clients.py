"""What tests before the greeting have found out about client addresses, so that a good client waits for none twice.

Only what was passed is kept, as in postscreen(8): a client that failed is tested again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.reputation.database import Database


@dataclass(frozen=True, slots=True)
class Passed:
    """Until when the greet delay and the DNS lists count as passed (0: not), and the rank in those lists."""

    greet: int
    dnsbl: int
    rank: int


class Clients:
    """The results over one database; every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def find(self, address: str) -> Passed | None:
        """What is known of an address."""
        row = self._database.row(
            "SELECT greet, dnsbl, rank FROM clients WHERE address = ? AND expires > ?", (address, int(self._clock()))
        )
        return None if row is None else Passed(*row)

    def keep(self, address: str, passed: Passed) -> None:
        """Remember, until the last of it is over."""
        expires = max(passed.greet, passed.dnsbl)
        self._database.change(
            "INSERT OR REPLACE INTO clients VALUES (?, ?, ?, ?, ?)",
            (address, passed.greet, passed.dnsbl, passed.rank, expires),
        )
