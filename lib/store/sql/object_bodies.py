"""Bodies whose octets are in object storage: how they come there, and how they go.

Before the first object is put the database notes, durably, that there will be some; so whatever happens meanwhile, no
object is forgotten: a body that no message gets is cleared away like any other that has none.
"""

from __future__ import annotations

import time
from typing import Final

from pillarbox.lib.store.interface import StoreUnavailable
from pillarbox.lib.store.sql import objects, pieces
from pillarbox.lib.store.sql.database import Database, Transaction
from pillarbox.lib.store.sql.objects import Objects

_FIRST_NOTED: Final = 8
"""Objects that are noted before there are as many; each time they run out, twice as many."""
_CLEARED: Final = 16
"""Bodies that are cleared away at a time: each object is a request, and the account waits."""

_DOUBTFUL: Final = "(refs = 0 AND segments > 0 AND unused_since < ?3)"
"""A body of which objects may be gone already: they are deleted before the commit that takes away its row."""


def _doubtful_before() -> int:
    # Earlier than `clear_unused` would, for front ends whose clocks differ.
    return int(time.time()) - pieces.UNUSED_KEPT // 2


class ObjectWriter(pieces.BodyWriter):
    """A body on its way into object storage, or, as it is small, into the database."""

    def __init__(self, database: Database, store: Objects) -> None:
        super().__init__(database)
        self._store = store
        self._noted = 0
        self._put_so_far = 0
        self._known = False

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        self._rest += data
        while len(self._rest) > objects.SEGMENT:
            self._put(bytes(memoryview(self._rest)[: objects.SEGMENT]))
            del self._rest[: objects.SEGMENT]

    def _put(self, data: bytes) -> None:
        if self._put_so_far == self._noted:
            noted = self._noted * 2 or _FIRST_NOTED
            with self._database.writing(durable=True) as transaction:
                self._note(transaction, noted)
            self._noted = noted
        self._store.put(self._database.object_name(self._body, self._put_so_far), data)
        self._put_so_far += 1

    def _note(self, transaction: Transaction, noted: int) -> None:
        if not self._noted:
            self._announce(transaction)
        transaction.execute(
            "UPDATE bodies SET segments = ?3 WHERE account = ?1 AND body = ?2",
            transaction.account,
            self._body,
            noted,
        )

    def prepare(self) -> None:
        if self.size < objects.FROM:
            return
        self._known = bool(
            self._database.single(
                f"SELECT 1 FROM bodies WHERE account = ?1 AND digest = ?2 AND NOT {_DOUBTFUL}",
                self._database.account,
                self._digest.digest(),
                _doubtful_before(),
            )
        )
        if not self._known:
            self._put(bytes(self._rest))
            self._rest.clear()

    def finish(self, transaction: Transaction, refs: int = 1) -> int:
        if self.size >= objects.FROM:
            transaction.execute(
                f"UPDATE bodies SET digest = ?4 WHERE account = ?1 AND digest = ?2 AND {_DOUBTFUL}",
                transaction.account,
                self._digest.digest(),
                _doubtful_before(),
                b"-%016x" % self._body,
            )
        return super().finish(transaction, refs)

    def _complete(self, transaction: Transaction, digest: bytes, refs: int) -> None:
        if not self._put_so_far and not self._known:
            super()._complete(transaction, digest, refs)
            return
        if self._known or not transaction.execute(
            "UPDATE bodies SET digest = ?3, size = ?4, refs = ?5, segments = ?6, unused_since = 0"
            " WHERE account = ?1 AND body = ?2",
            transaction.account,
            self._body,
            digest,
            self.size,
            refs,
            self._put_so_far,
        ):
            raise StoreUnavailable("the message took too long to arrive")

    def forget(self, transaction: Transaction) -> None:
        self._delete(transaction)
        self._noted = self._put_so_far = 0

    def _delete(self, transaction: Transaction) -> None:
        if self._noted:
            transaction.execute(
                "UPDATE bodies SET unused_since = 1 WHERE account = ?1 AND body = ?2 AND refs = 0",
                transaction.account,
                self._body,
            )

    @property
    def uploaded(self) -> bool:
        return self._noted > 0


def body_writer(database: Database) -> pieces.BodyWriter:
    """For a new message."""
    return pieces.BodyWriter(database) if database.objects is None else ObjectWriter(database, database.objects)


def clear_unused(database: Database, transaction: Transaction) -> int:
    """Remove bodies that no message has had for long, some at a time; gives how many."""
    number = pieces.clear_unused(transaction)
    store = database.objects
    if store is None:
        return number
    old = transaction.rows(
        "SELECT body, segments FROM bodies WHERE account = ?1 AND unused_since > 0 AND unused_since < ?2"
        " AND segments > 0 LIMIT ?3",
        transaction.account,
        int(time.time()) - pieces.UNUSED_KEPT,
        _CLEARED,
    )
    for body, segments in old:
        try:
            for segment in range(segments):
                store.delete(database.object_name(body, segment))
        except StoreUnavailable:
            break  # the storage is away; another time
        transaction.execute("DELETE FROM bodies WHERE account = ?1 AND body = ?2", transaction.account, body)
        number += 1
    return number
