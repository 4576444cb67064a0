"""The connections of a process to one PostgreSQL database: few, for all of its accounts and threads.

A connection that turns out to be dead before a transaction has begun is replaced without anybody noticing; one that
is lost later fails its command.  The first connection brings the tables to the present version.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from pillarbox.lib.store.interface import MailboxBusy, StoreUnavailable
from pillarbox.lib.store.locks import LOCK_TIMEOUT
from pillarbox.lib.store.patience import busy, limit
from pillarbox.lib.store.sql import schema
from pillarbox.lib.store.sql.connection import SCHEMA, Connection, ConnectionLost
from pillarbox.lib.store.sql.objects import Objects
from pillarbox.lib.store.sql.place import Place
from pillarbox.lib.store.sql.waiting import Waiting

CONNECTIONS: Final = 4
"""At once, of a process: an event loop needs one, its threads the others."""
_LEFT_ALONE: Final = 0.5
"""Seconds for which a server that could not be reached is left alone, at least."""
_MIGRATION: Final = 0x50426F78
"""The advisory lock under which tables are made."""

T = TypeVar("T")


class Pool:
    """Connections to the database at a place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.where = f"database server {place.server().name}"
        self.waiting = Waiting(self._listening)
        self.objects = Objects(place.objects) if place.objects is not None else None
        self._kept: list[Connection] = []
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._ready = False
        self._down = (0.0, "")  # until when it is left alone, and why
        self._found = 0.0  # when it was last connected to
        self._locking = threading.Lock()
        self._locks: Connection | None = None
        self._held: set[int] = set()

    @contextmanager
    def connection(self, begin: Callable[[Connection], T]) -> Iterator[tuple[Connection, T]]:
        """A connection on which `begin` was done, which must change nothing: it is done again where a kept connection
        proves dead.  Raises StoreError."""
        if not self._slots.acquire(timeout=limit(LOCK_TIMEOUT)):
            raise busy(f"all {CONNECTIONS} connections to the {self.where} are in use")
        try:
            connection, begun = self._begun(begin)
            try:
                yield connection, begun
            except ConnectionLost:
                connection.close()
                raise
            except BaseException:
                self._keep_if_whole(connection)
                raise
            with self._lock:
                self._kept.append(connection)
        finally:
            self._slots.release()

    def _begun(self, begin: Callable[[Connection], T]) -> tuple[Connection, T]:
        while True:
            with self._lock:
                kept = self._kept.pop() if self._kept else None
            connection = kept or self._fresh()
            try:
                return connection, begin(connection)
            except ConnectionLost:
                connection.close()
                if kept is None:
                    raise
            except BaseException:
                self._keep_if_whole(connection)
                raise

    def _keep_if_whole(self, connection: Connection) -> None:
        """Keep it, out of any transaction; or close it."""
        try:
            connection.simple("ROLLBACK")
        except StoreUnavailable:
            connection.close()
            return
        with self._lock:
            self._kept.append(connection)

    def _fresh(self) -> Connection:
        """Connect.  A server that cannot be reached is left alone for a while, so that sessions do not stand still."""
        began = time.monotonic()
        if began < self._down[0]:
            raise ConnectionLost(self._down[1])
        try:
            connection = Connection(self.place)
        except ConnectionLost as error:
            now = time.monotonic()
            if self._found < began:  # else it is back since, and who was told so is to find it
                self._down = now + max(_LEFT_ALONE, 2 * (now - began)), str(error)
            raise
        self._found = time.monotonic()
        if not self._ready:
            try:
                migrate(connection)
            except BaseException:
                connection.close()
                raise
            self._ready = True
        return connection

    def _listening(self) -> Connection:
        """For `Waiting`.  Who is woken when it is there finds the server again, too."""
        connection = Connection(self.place)
        self._found = time.monotonic()
        self._down = (0.0, "")
        return connection

    # --- locks that last as long as a session
    @contextmanager
    def session_lock(self, key: int) -> Iterator[None]:
        """Hold an advisory lock, which ends with this process at the latest.  Raises MailboxBusy, StoreUnavailable."""
        with self._locking:
            if key in self._held:
                raise MailboxBusy("another session has the mailbox locked")
            ((got,),) = self._ask_locks(f"SELECT pg_try_advisory_lock({key:d})")
            if not got:
                raise MailboxBusy("another session has the mailbox locked")
            self._held.add(key)
        try:
            yield
        finally:
            with self._locking:
                self._held.discard(key)
                if self._locks is not None:
                    try:
                        self._locks.simple(f"SELECT pg_advisory_unlock({key:d})")
                    except StoreUnavailable:
                        self._forget_locks()

    def _ask_locks(self, statement: str) -> list[tuple[bool]]:
        """On the connection that holds all locks.  One that was lost has lost them; its sessions go on without."""
        if self._locks is not None:
            try:
                return self._locks.simple(statement)
            except ConnectionLost:
                self._forget_locks()
        self._locks = self._fresh()
        return self._locks.simple(statement)

    def _forget_locks(self) -> None:
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    def close(self) -> None:
        """Close what is not in use."""
        self.waiting.close()
        if self.objects is not None:
            self.objects.close()
        with self._lock:
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()
        with self._locking:
            self._forget_locks()


def migrate(connection: Connection) -> None:
    """Bring the tables to the present version, each step with its number in one transaction.  Raises StoreError."""
    while (found := _version(connection)) != schema.VERSION:
        if found > schema.VERSION:
            raise StoreUnavailable(
                f"{connection.where} has schema version {found}, this suite knows {schema.VERSION}: upgrade it"
            )
        connection.simple(
            f"BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT:g}s'; SELECT pg_advisory_xact_lock({_MIGRATION})"
        )
        try:
            if _version(connection) == found:
                step = schema.statements(found, account="TEXT", binary="BYTEA", shared=True)
                if found == 0:
                    step.insert(0, f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                    step.append("CREATE TABLE schema_version (version INTEGER NOT NULL)")
                    step.append("INSERT INTO schema_version VALUES (0)")
                step.append(f"UPDATE schema_version SET version = {found + 1}")
                connection.simple(";\n".join(step))
            connection.simple("COMMIT")
        except BaseException:
            connection.simple("ROLLBACK")
            raise


def _version(connection: Connection) -> int:
    """The version of the tables; 0 where there are none."""
    # Not to_regclass(), which may remember from before the lock that there was none.
    ((there,),) = connection.simple(
        f"SELECT count(*) FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename = 'schema_version'"
    )
    return int(connection.simple("SELECT version FROM schema_version")[0][0]) if there else 0


pools: Final[dict[tuple[int, Place], Pool]] = {}
"""By process: one that was forked must not speak on its parent's connections."""
_pools_lock = threading.Lock()


def shared_pool(place: Place) -> Pool:
    """The pool of this process."""
    key = (os.getpid(), place)
    with _pools_lock:
        pool = pools.get(key)
        if pool is None:
            pool = pools[key] = Pool(place)
        return pool
