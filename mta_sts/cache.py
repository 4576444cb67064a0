"""Policies that were fetched, in SQLite: one row per domain, bounded in number and size.

A policy protects only who remembers it (RFC 8461 section 10.2), and whoever can make us send mail to names of his own
can make us fetch as many policies as he likes.  So one in mode enforce by which mail has gone on two days is
*established*: to its end nothing pushes it out.  Established ones leave a tenth of the number and half of the octets to
the others; where they are full, the next one takes the place of one that no mail has gone by for a month, if there is
one.  Among the others a flood makes way itself (`crowd`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.process.kept_file import KeptFile
from pillarbox.lib.smtp.sts_policy import BadPolicy, StsPolicy, parse_policy
from pillarbox.mta_sts.crowd import surplus

FILE: Final = "mta_sts.sqlite"

DOMAIN_LIMIT: Final = 50_000
"""Domains.  Of all mail domains some ten thousand publish a policy."""

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Octets of the file in use; a policy has some hundreds, but may have 64 kB."""

ESTABLISHED_SHARE: Final = 0.9
"""Of the domains, those that may be established."""

ESTABLISHED_OCTETS: Final = 0.5
"""Of the size, what their policies may have."""

USE_RESOLUTION: Final = 86400
"""Seconds: use is noted once a day."""

USED_WITHIN: Final = 31 * 86400
"""Seconds: policies by which no mail has gone for so long are not renewed, and protected only while there is room."""

MIN_LIFE: Final = 60
"""Seconds for which a policy counts whatever its max_age; with less, a domain would be asked for each message."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS policy (
    domain TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    text TEXT NOT NULL,
    fetched INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS policy_used ON policy (used);
CREATE INDEX IF NOT EXISTS policy_expires ON policy (expires);
CREATE TABLE IF NOT EXISTS established (domain TEXT PRIMARY KEY, octets INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A policy, and when it was fetched, when it counts no more, when DNS was asked last whether it is still the one,
    when mail went by it: whole seconds since the epoch."""

    policy: StsPolicy
    fetched: int
    expires: int
    checked: int
    used: int

    def ageing(self, now: float) -> bool:
        """Whether half of its life is over: time to fetch it anew."""
        return now >= self.fetched + (self.expires - self.fetched) / 2


class Cache:
    """Never raises; where the file cannot be used nothing is known."""

    def __init__(self, directory: str) -> None:
        self._file = KeptFile(directory, FILE, _SCHEMA)

    def find(self, domain: str, now: float) -> Known | None:
        """The policy that counts now."""
        rows = self._file.rows(
            "SELECT id, text, fetched, expires, checked, used FROM policy WHERE domain = ? AND expires > ?", domain, now
        )
        for identity, text, *times in rows:
            with contextlib.suppress(BadPolicy):
                return Known(parse_policy(domain, identity, text), *times)
        return None

    def keep(self, policy: StsPolicy, now: float) -> None:
        """A policy was fetched."""
        moment = int(now)
        expires = moment + max(policy.max_age, MIN_LIFE)
        self._file.do(
            "INSERT INTO policy VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (domain) DO UPDATE SET id = excluded.id,"
            " text = excluded.text, fetched = excluded.fetched, expires = excluded.expires, checked = excluded.checked",
            *(policy.domain, policy.id, policy.text, moment, expires, moment, moment),
        )
        if self._file.rows("SELECT 1 FROM established WHERE domain = ?", policy.domain):
            self._file.do("DELETE FROM established WHERE domain = ?", policy.domain)
            self._establish(policy, now)  # by what it says now
        if self._file.size > SIZE_LIMIT:
            self._cut(0.9)

    def checked(self, domain: str, now: float) -> None:
        """DNS was asked, and the policy stays."""
        self._file.do("UPDATE policy SET checked = ? WHERE domain = ?", int(now), domain)

    def use(self, known: Known, now: float) -> None:
        """Mail goes by a policy."""
        if now - known.used >= USE_RESOLUTION:
            self._file.do("UPDATE policy SET used = ? WHERE domain = ?", int(now), known.policy.domain)
            self._establish(known.policy, now)

    def _establish(self, policy: StsPolicy, now: float) -> None:
        """Protect a policy, if there is room for it."""
        if policy.mode != "enforce" or self._file.rows("SELECT 1 FROM established WHERE domain = ?", policy.domain):
            return
        size = len(policy.text)
        if not self._has_room(size):
            self._file.do(
                "DELETE FROM established WHERE domain IN (SELECT domain FROM established JOIN policy USING (domain)"
                " WHERE used < ? ORDER BY used LIMIT 1)",
                int(now - USED_WITHIN),
            )
            if not self._has_room(size):
                return
        self._file.do("INSERT OR REPLACE INTO established VALUES (?, ?)", policy.domain, size)

    def _has_room(self, size: int) -> bool:
        rows = self._file.rows("SELECT count(*), coalesce(sum(octets), 0) FROM established")
        return all(
            number < DOMAIN_LIMIT * ESTABLISHED_SHARE and octets + size <= SIZE_LIMIT * ESTABLISHED_OCTETS
            for number, octets in rows
        )

    def due(self, now: float, used_since: float, checked_before: float, limit: int) -> list[str]:
        """Domains whose policy is to be renewed: half its life is over, and mail has gone by it lately.  Established
        ones come first: a flood of short-lived ones must not keep them from being renewed."""
        rows = self._file.rows(
            "SELECT domain FROM policy LEFT JOIN established USING (domain)"
            " WHERE expires > ?1 AND (fetched + expires) / 2 <= ?1 AND used >= ?2"
            " AND checked <= ?3 ORDER BY octets IS NULL, expires LIMIT ?4",
            *(int(now), int(used_since), int(checked_before), limit),
        )
        return [row[0] for row in rows]

    def sweep(self, now: float) -> None:
        """Drop what has expired, and what is beyond the limit."""
        self._file.do("DELETE FROM policy WHERE expires <= ?", int(now))
        self._file.do("DELETE FROM established WHERE domain NOT IN (SELECT domain FROM policy)")
        ((number,),) = self._file.rows("SELECT count(*) FROM policy") or [(0,)]
        if number > DOMAIN_LIMIT:
            self._cut(1.0, number - DOMAIN_LIMIT)

    def _cut(self, share: float, least: int = 1) -> None:
        """Forget `least` or more of those that are not established, so that this share of them is left at most."""
        rows = self._file.rows(
            "SELECT domain FROM policy LEFT JOIN established USING (domain) WHERE octets IS NULL ORDER BY used DESC"
        )
        others = [row[0] for row in rows]
        gone = surplus(others, min(int(len(others) * share), len(others) - least))

        def forget(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM policy WHERE domain = ?", [(domain,) for domain in gone])

        self._file.work(forget, None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
