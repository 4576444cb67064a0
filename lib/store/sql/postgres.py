"""PostgreSQL: many accounts in one database, which several front ends share.

Writers of an account lock its row first, so that what a transaction sees, and gives UIDs by, nobody changes until it is
committed; accounts do not wait for each other.  A change tells its mailbox's number on the account's channel.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from pillarbox.lib.store.interface import MailboxBusy
from pillarbox.lib.store.locks import LOCK_TIMEOUT
from pillarbox.lib.store.patience import limit
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql.connection import Connection
from pillarbox.lib.store.sql.database import NEW_ACCOUNT, Database, Row, Transaction, Value
from pillarbox.lib.store.sql.pool import Pool
from pillarbox.lib.store.sql.totals import DomainTotal, TableTotal, table_total

_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_WRITE_SOON: Final = f"{_WRITE}; SET LOCAL synchronous_commit = off"
_LOCK: Final = "SELECT modseq FROM accounts WHERE account = ?1 FOR UPDATE"
_PAUSE: Final = 0.2
"""Seconds between two attempts to lock an account that is locked, at most."""


class PostgresTransaction(Transaction):
    """Statements on one connection."""

    def __init__(
        self, connection: Connection, account: str, channel: str, total: DomainTotal | None, *, reads_only: bool
    ) -> None:
        self.account = account
        self.total = total
        self.reads_only = reads_only
        self._connection = connection
        self._channel = channel  # letters, digits and "_"
        self._changed: set[int] = set()

    def rows(self, statement: str, *values: Value) -> list[Row]:
        return self._connection.query(statement, values)[0]

    def execute(self, statement: str, *values: Value) -> int:
        return self._connection.query(statement, values)[1]

    def among(self, column: str, number: int) -> str:
        # The bounds say the same once more: a plan that was made for any list looks between them only.
        numbers = f"CAST(?{number} AS BIGINT[])"
        return (
            f"{column} = ANY ({numbers}) AND {column} >= ({numbers})[1]"
            f" AND {column} <= ({numbers})[array_upper({numbers}, 1)]"
        )

    def listed(self, numbers: Iterable[int]) -> Value:
        return "{" + ",".join(map(str, sorted(numbers))) + "}"

    def joined(self, column: str) -> str:
        return f"string_agg(CAST({column} AS TEXT), chr(10))"

    def notify(self, mailbox: int) -> None:
        self._changed.add(int(mailbox))

    def commit(self) -> None:
        """Make it visible, and tell of it."""
        self.settle()
        told = (f"SELECT pg_notify('{self._channel}', '{mailbox}'); " for mailbox in sorted(self._changed))
        self._connection.simple("".join(told) + "COMMIT")


class PostgresDatabase(Database):
    """An account in the database of a pool."""

    def __init__(self, pool: Pool, account: str, cache: str | None = None) -> None:
        """`cache` is a directory on this machine, for what may be thrown away."""
        self.where = pool.where
        self._cache = cache
        self.account = account
        self._pool = pool
        self.objects = pool.objects
        digest = hashlib.sha256(account.encode("utf-8", "surrogatepass"))
        self._channel = f"pillarbox_{digest.hexdigest()[:24]}"
        self._key = digest.digest()[:16]

    def count_for(self, quota: Quota) -> None:
        self.total = table_total(self._account(), quota)

    def object_name(self, body: int, segment: int) -> str:
        return f"{self._key.hex()}/{body}/{segment}"

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._pool.connection(lambda fresh: fresh.simple(_READ)) as (connection, _):
            yield PostgresTransaction(connection, self._account(), self._channel, self.total, reads_only=True)
            connection.simple("COMMIT")

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[Transaction]:
        with ExitStack() as stack:
            transaction = self._locked(stack, _WRITE if durable else _WRITE_SOON)
            yield transaction
            if transaction.total is not None and any(transaction.pending):
                transaction.total.add(transaction, *transaction.pending)
            transaction.commit()

    def _locked(self, stack: ExitStack, begin: str) -> PostgresTransaction:
        """A transaction that has the account to itself.  Who waits for it gives the connection back now and then: an
        account that is held for long, by whom ever, must not take all of them."""
        patience = limit(LOCK_TIMEOUT)
        end = time.monotonic() + patience
        while True:
            try:
                with ExitStack() as attempt:
                    locked = self._try_lock(attempt, begin, wait=patience > 0)
                    stack.push(attempt.pop_all())
                    return locked
            except MailboxBusy:
                if time.monotonic() >= end:
                    raise
            time.sleep(_PAUSE * random.random())

    def _try_lock(self, stack: ExitStack, begin: str, *, wait: bool) -> PostgresTransaction:
        total = self.total
        if isinstance(total, TableTotal):  # of another account, so not in one statement with the lock
            begin = f"{begin}; {total.there}"
        connection, begun = stack.enter_context(self._pool.connection(lambda fresh: fresh.simple(begin)))
        transaction = PostgresTransaction(connection, self._account(), self._channel, total, reads_only=False)
        transaction.totalled = bool(begun)
        lock = _LOCK if wait else f"{_LOCK} NOWAIT"
        found = transaction.row(lock, transaction.account)
        if found is None:
            transaction.execute(NEW_ACCOUNT, transaction.account)
            found = transaction.row(lock, transaction.account)
        if found is not None:
            (transaction.modseq,) = found
        return transaction

    def single(self, statement: str, *values: Value) -> list[Row]:
        with self._pool.connection(lambda fresh: fresh.query(statement, values)[0]) as (_, rows):
            return rows

    def stamp(self) -> object:
        return None

    def shrink(self) -> None:
        pass  # autovacuum's business

    def _account(self) -> str:
        return str(self.account)

    def watch_paths(self) -> tuple[str, ...]:
        return ()

    def watch_fd(self, mailbox: int) -> int | None:
        return self._pool.waiting.add(self._channel, mailbox)

    def unwatch(self, fd: int) -> None:
        self._pool.waiting.remove(fd)

    def beside(self, what: str, mailbox: int) -> str | None:
        if self._cache is None:
            return None
        folder = f"{self._cache}/{what}"
        with contextlib.suppress(OSError):
            os.makedirs(folder, 0o700, exist_ok=True)
        return f"{folder}/{mailbox}"

    def session_lock(self, mailbox: int) -> AbstractContextManager[None]:
        digest = hashlib.sha256(self._key + mailbox.to_bytes(8, "big")).digest()
        return self._pool.session_lock(int.from_bytes(digest[:8], "big", signed=True))

    def close(self) -> None:
        pass  # the connections are the pool's
