"""What all accounts of a domain hold together, kept beside what each of them does.

Of accounts in files it is the domain's file (`lib.store.domain_file`).  In a database of many accounts it is rows of
`totals`: whoever changes something adds a row in the same transaction, so that accounts do not wait for each other; who
reads many rows sums them up.  The mailboxes are looked at when a domain gets a quota, or others of its folders count.
There the domain of an account is what stands behind the last "@" of its name.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.lib.config.quota import NO_LIMITS, Limits, parse_limits
from pillarbox.lib.store.domain_file import DomainFile
from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.maildir.ledger import count_domain
from pillarbox.lib.store.quota import Quota, Usage

if TYPE_CHECKING:
    from pillarbox.lib.store.sql.database import Transaction

MANY: Final = 64
"""Rows of a domain from which on they are summed up."""


class Total(NamedTuple):
    """What is used of how much."""

    limits: Limits
    usage: Usage


class DomainTotal(ABC):
    """The count of one domain, for one account of it."""

    @abstractmethod
    def read(self, transaction: Transaction) -> Total | None:
        """What is used, with what this transaction has changed so far; None where there is no quota, or it is not
        counted yet and the transaction must not write.  Raises StoreError."""

    def seen(self) -> Total | None:
        """The same for an account that is not there yet; None where that takes a transaction.  Raises StoreError."""
        return None

    @abstractmethod
    def add(self, transaction: Transaction, size: int, messages: int) -> None:
        """Note what a transaction brought or, negative, took away.  Raises StoreError."""


class FileTotal(DomainTotal):
    """Beside the accounts' files; `add` is called after the commit."""

    def __init__(self, directory: str, quota: Quota) -> None:
        def counts(name: str) -> bool:
            rule = quota.rule(name)
            return rule is None or not rule.ignore

        self._file = DomainFile(directory, quota.domain, lambda: count_domain(directory, counts))

    def read(self, transaction: Transaction) -> Total | None:
        total = self.seen()
        return None if total is None else Total(total.limits, total.usage.plus(*transaction.pending))

    def seen(self) -> Total | None:
        try:
            record = self._file.read()
        except OSError as error:
            raise StoreUnavailable(f"cannot count for the domain: {error.strerror or error}") from error
        return Total(record.limits, record.usage) if record is not None and record.limits else None

    def add(self, transaction: Transaction, size: int, messages: int) -> None:
        try:
            self._file.add(size, messages)
        except OSError:
            pass  # the message is stored; it is counted when the file is made anew


def file_total(path: str, quota: Quota) -> DomainTotal | None:
    """For the account in the file at `path`; None where it does not lie among the mailboxes of a domain."""
    parts = path.removeprefix(f"{quota.base}/").split("/") if quota.base and path.startswith(f"{quota.base}/") else []
    return FileTotal(f"{quota.base}/{parts[0]}", quota) if len(parts) > 1 and quota.hosted else None


_SUM: Final = (
    "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT), CAST(COALESCE(SUM(messages), 0) AS BIGINT), COUNT(*),"
    " COALESCE(MAX(basis), '') FROM totals WHERE account = ?1"
)
_FIRST: Final = (
    "INSERT INTO totals (account, line, size, messages, basis) VALUES (?1, 0, 0, 0, '') ON CONFLICT DO NOTHING"
)
# What others add meanwhile is in neither snapshot, or in both.
_FOLD: Final = (
    "WITH gone AS (DELETE FROM totals WHERE account = ?1 AND line <> 0 RETURNING size, messages)"
    " UPDATE totals SET size = size + (SELECT COALESCE(SUM(size), 0) FROM gone),"
    " messages = messages + (SELECT COALESCE(SUM(messages), 0) FROM gone) WHERE account = ?1 AND line = 0"
)
_COUNT: Final = (
    "WITH gone AS (DELETE FROM totals WHERE account = ?1 AND line <> 0), held AS (SELECT SUM(size) AS size,"
    " SUM(messages) AS messages FROM mailboxes WHERE right(account, length(?1)) = ?1"
    " AND name NOT IN (SELECT json_array_elements_text(CAST(?2 AS json))))"
    " UPDATE totals SET size = (SELECT COALESCE(size, 0) FROM held),"
    " messages = (SELECT COALESCE(messages, 0) FROM held), basis = ?3 WHERE account = ?1 AND line = 0"
)


class TableTotal(DomainTotal):
    """In the table `totals`; `add` is called before the commit."""

    def __init__(self, domain: str, quota: Quota) -> None:
        self._quota = quota
        self.account = f"@{domain}"
        literal = self.account.replace("\\", "\\\\").replace("'", "''")
        self.there = f"SELECT 1 FROM totals WHERE account = E'{literal}' AND line = 0"
        """A statement without values, for the beginning of a transaction: whether there is a count."""
        key = hashlib.sha256(b"totals" + self.account.encode("utf-8", "surrogatepass")).digest()
        self._lock = int.from_bytes(key[:8], "big", signed=True)
        folders = [rule.folder for rule in quota.rules if rule.ignore]
        self._basis = f"{quota.domain or NO_LIMITS} {json.dumps(folders)}"

    def read(self, transaction: Transaction) -> Total | None:
        if transaction.reads_only:
            return self._of(transaction, self._row(transaction))
        wanted = self._quota.domain
        if wanted is not None and not wanted:
            if transaction.totalled:
                transaction.execute("DELETE FROM totals WHERE account = ?1", self.account)
                transaction.totalled = False
            return None
        if not wanted and not transaction.totalled:
            return None
        row = self._row(transaction)
        if (wanted and row[3] != self._basis) and self._locked(transaction):
            self._count(transaction)
            row = self._row(transaction)
        elif row[2] > MANY and self._locked(transaction):
            transaction.execute(_FOLD, self.account)
        return self._of(transaction, row)

    def _row(self, transaction: Transaction) -> tuple[int, int, int, str]:
        size, messages, lines, basis = transaction.rows(_SUM, self.account)[0]
        return size, messages, lines, basis

    def _of(self, transaction: Transaction, row: tuple[int, int, int, str]) -> Total | None:
        size, messages, _, basis = row
        limits = self._quota.domain or (parse_limits(basis.partition(" ")[0]) if basis else NO_LIMITS)
        return Total(limits, Usage(size, messages).plus(*transaction.pending)) if limits and basis else None

    def _locked(self, transaction: Transaction) -> bool:
        """Whether this transaction may sum up; another that does so is not waited for."""
        return bool(transaction.rows("SELECT pg_try_advisory_xact_lock(?1)", self._lock)[0][0])

    def _count(self, transaction: Transaction) -> None:
        left_out: list[str] = []
        if any(rule.ignore for rule in self._quota.rules):
            rows = transaction.rows(
                "SELECT DISTINCT name FROM mailboxes WHERE right(account, length(?1)) = ?1", self.account
            )
            left_out = [name for (name,) in rows if (rule := self._quota.rule(name)) is not None and rule.ignore]
        transaction.execute(_FIRST, self.account)
        transaction.execute(_COUNT, self.account, json.dumps(left_out), self._basis)
        transaction.pending = Usage()  # is in what was counted
        transaction.totalled = True

    def add(self, transaction: Transaction, size: int, messages: int) -> None:
        if transaction.totalled or self._quota.domain:
            transaction.execute(
                "INSERT INTO totals (account, line, size, messages, basis) VALUES (?1, ?2, ?3, ?4, '')",
                self.account,
                secrets.randbits(62) + 1,
                size,
                messages,
            )


def table_total(account: str, quota: Quota) -> DomainTotal | None:
    """For an account of a database of many; None for one that is not called like an address."""
    domain = account.rpartition("@")[2].lower()
    return TableTotal(domain, quota) if "@" in account and quota.hosted else None
