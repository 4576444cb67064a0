"""Greylisting's memory: which sender has come back, which network does so as a rule, whom local users have written to.

A triplet (client network, sender, recipient) that is new waits for `delay`; the attempt that comes after that and
before `window` is over passes and makes the triplet known for `lifetime`, as does each later one.  A network of which
`clients` triplets have passed is known itself and waits no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pillarbox.reputation.database import Database

RENEWAL: Final = 86400
"""A row that is used is written again at most this often, in seconds: most mail that passes changes nothing."""

_NETWORK_PASSED: Final = """INSERT INTO networks VALUES (?, 1, ?)
    ON CONFLICT (network) DO UPDATE SET passed = passed + 1, expires = excluded.expires"""

Why = Literal["new", "early", "passed", "known", "client", "correspondent"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds, and how many triplets make a network known (0: none do)."""

    delay: int
    window: int
    lifetime: int
    clients: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wait`: seconds still to wait, 0: pass; `after`: how long a sender that passes for the first time has waited."""

    wait: int
    why: Why
    after: int = 0


class Greylist:
    """The decisions over one database; every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def ask(self, network: str, triplet: str, sender: str, policy: Policy) -> Verdict:
        """A message is offered; `triplet` and `sender` are keys."""
        now = int(self._clock())
        if policy.clients and self._known(network, now, policy):
            return Verdict(0, "client")
        if sender and self._database.row("SELECT 1 FROM correspondents WHERE key = ? AND expires > ?", (sender, now)):
            return Verdict(0, "correspondent")
        row = self._database.row("SELECT first, passed, expires FROM triplets WHERE key = ?", (triplet,))
        if row is None or row[2] <= now:
            self._database.change(
                "INSERT OR REPLACE INTO triplets VALUES (?, ?, 0, ?)", (triplet, now, now + max(policy.window, 1))
            )
            return Verdict(policy.delay, "new") if policy.delay else Verdict(0, "passed")
        first, passed, expires = row
        if passed:
            if expires < now + policy.lifetime - RENEWAL:
                self._database.change("UPDATE triplets SET expires = ? WHERE key = ?", (now + policy.lifetime, triplet))
            return Verdict(0, "known")
        age = max(now - first, 0)
        if age < policy.delay:
            return Verdict(policy.delay - age, "early")
        until = now + policy.lifetime
        self._database.change_all(
            (
                ("UPDATE triplets SET passed = 1, expires = ? WHERE key = ?", (until, triplet)),
                (_NETWORK_PASSED, (network, until)),
            )
        )
        return Verdict(0, "passed", age)

    def _known(self, network: str, now: int, policy: Policy) -> bool:
        row = self._database.row("SELECT passed, expires FROM networks WHERE network = ?", (network,))
        if row is None or row[0] < policy.clients or row[1] <= now:
            return False
        if row[1] < now + policy.lifetime - RENEWAL:
            self._database.change("UPDATE networks SET expires = ? WHERE network = ?", (now + policy.lifetime, network))
        return True

    def written(self, addresses: tuple[str, ...], lifetime: int) -> None:
        """A local user has written to these addresses (keys): their answers shall not wait."""
        now = int(self._clock())
        for address in addresses:
            row = self._database.row("SELECT expires FROM correspondents WHERE key = ?", (address,))
            if row is None or row[0] < now + lifetime - RENEWAL:
                self._database.change("INSERT OR REPLACE INTO correspondents VALUES (?, ?)", (address, now + lifetime))
