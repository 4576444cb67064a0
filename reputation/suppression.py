"""Addresses that are not to be tried: put on the list by a person, or after their own server has refused them often.

A refusal counts for the lifetime that comes with it, and several within `SPREAD` count once: a campaign that writes to
an address three times, on the day on which its server is misconfigured, is no proof.  What a person has put on the
list stays until a person takes it off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.reputation.database import Database

SPREAD: Final = 3600
"""Seconds within which refusals of one address count once."""

LEARNT_LIMIT: Final = 200_000
"""Most addresses that are remembered without a person's doing; further ones are not learnt."""

REASON_LIMIT: Final = 300
"""Characters of a reason that are kept."""

RECOUNT: Final = 60.0
"""Seconds between two counts of a list that is full: each reads all of it."""

NEVER: Final = 2**62
"""When an entry of a person expires."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An address on the list since `since`; `manual` where a person has put it there; `expires` 0: never."""

    address: str
    since: int
    expires: int
    manual: bool
    reason: str


class Suppression:
    """The list over one database; every method raises DatabaseUnavailable.  Addresses are in lower case."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._learnt: int | None = None
        """How many are remembered without a person's doing, at most; None: not counted yet."""
        self._counted = 0.0

    def refused(self, address: str, reason: str, limit: int, lifetime: int) -> bool:
        """Its own server says that there is no such address; whether that puts it on the list now."""
        now = int(self._clock())
        row = self._database.row(
            "SELECT refusals, last, listed, manual FROM suppressed WHERE address = ? AND expires > ?", (address, now)
        )
        if row is None:
            if self._full():
                return False
            refusals, last, listed, manual = 0, 0, 0, 0
        else:
            refusals, last, listed, manual = row
        if manual or 0 <= now - last < SPREAD:
            return False
        refusals += 1
        fresh = not listed and refusals >= limit > 0
        listed = now if fresh else listed
        if row is None and self._learnt is not None:
            self._learnt += 1
        self._database.change(
            "INSERT OR REPLACE INTO suppressed VALUES (?, ?, ?, ?, 0, ?, ?)",
            (address, refusals, now, listed, reason[:REASON_LIMIT], now + lifetime),
        )
        return fresh

    def _full(self) -> bool:
        now = self._clock()
        if self._learnt is None or (self._learnt >= LEARNT_LIMIT and not 0 <= now - self._counted < RECOUNT):
            row = self._database.row("SELECT count(*) FROM suppressed WHERE manual = 0")
            self._learnt, self._counted = row[0] if row is not None else 0, now
        return self._learnt is not None and self._learnt >= LEARNT_LIMIT

    def reasons(self, addresses: tuple[str, ...]) -> dict[str, tuple[str, bool]]:
        """Those of the addresses that are on the list, with the reason and whether a person gave it."""
        now = int(self._clock())
        found: dict[str, tuple[str, bool]] = {}
        for address in addresses:
            row = self._database.row(
                "SELECT reason, manual FROM suppressed WHERE address = ? AND listed > 0 AND expires > ?", (address, now)
            )
            if row is not None:
                found[address] = row[0], bool(row[1])
        return found

    def suppress(self, address: str, reason: str) -> None:
        """A person puts it on the list."""
        now = int(self._clock())
        self._database.change(
            "INSERT OR REPLACE INTO suppressed VALUES (?, 0, ?, ?, 1, ?, ?)",
            (address, now, now, reason[:REASON_LIMIT], NEVER),
        )
        self._database.commit()

    def lift(self, address: str) -> bool:
        """A person takes it off, and it is as if it had never been refused; whether it was known."""
        known = self._database.change("DELETE FROM suppressed WHERE address = ?", (address,))
        self._database.commit()
        return bool(known)

    def listed(self, after: str, most: int) -> list[Suppressed]:
        """At most so many of the list, in order, behind an address."""
        return [
            Suppressed(address, since, 0 if expires == NEVER else expires, bool(manual), reason)
            for address, since, expires, manual, reason in self._database.rows(
                "SELECT address, listed, expires, manual, reason FROM suppressed "
                "WHERE listed > 0 AND expires > ? AND address > ? ORDER BY address LIMIT ?",
                (int(self._clock()), after, most),
            )
        ]
