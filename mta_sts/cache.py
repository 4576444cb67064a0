"""Policies that were fetched, in SQLite: one row per domain, bounded in number and size."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.process.kept_file import KeptFile
from pillarbox.lib.smtp.sts_policy import BadPolicy, StsPolicy, parse_policy

FILE: Final = "mta_sts.sqlite"

DOMAIN_LIMIT: Final = 50_000
"""Domains; beyond it those whose policy was used longest ago go.  Of all mail domains some ten thousand publish one."""

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Octets of the file in use; a policy has some hundreds, but may have 64 kB."""

USE_RESOLUTION: Final = 86400
"""Seconds: use is noted once a day."""

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
        if self._file.size > SIZE_LIMIT:
            self._shorten()

    def checked(self, domain: str, now: float) -> None:
        """DNS was asked, and the policy stays."""
        self._file.do("UPDATE policy SET checked = ? WHERE domain = ?", int(now), domain)

    def use(self, known: Known, now: float) -> None:
        """Mail goes by a policy."""
        if now - known.used >= USE_RESOLUTION:
            self._file.do("UPDATE policy SET used = ? WHERE domain = ?", int(now), known.policy.domain)

    def due(self, now: float, used_since: float, checked_before: float, limit: int) -> list[str]:
        """Domains whose policy is to be renewed: half its life is over, and mail has gone by it lately."""
        rows = self._file.rows(
            "SELECT domain FROM policy WHERE expires > ?1 AND (fetched + expires) / 2 <= ?1 AND used >= ?2"
            " AND checked <= ?3 ORDER BY expires LIMIT ?4",
            *(int(now), int(used_since), int(checked_before), limit),
        )
        return [row[0] for row in rows]

    def sweep(self, now: float) -> None:
        """Drop what has expired, and the least used beyond the limit."""
        self._file.do("DELETE FROM policy WHERE expires <= ?", int(now))
        self._file.do(
            "DELETE FROM policy WHERE domain IN (SELECT domain FROM policy ORDER BY used DESC LIMIT -1 OFFSET ?)",
            DOMAIN_LIMIT,
        )

    def _shorten(self) -> None:
        """Forget the tenth that was used longest ago."""
        self._file.do(
            "DELETE FROM policy WHERE domain IN"
            " (SELECT domain FROM policy ORDER BY used LIMIT (SELECT count(*) / 10 + 1 FROM policy))"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
