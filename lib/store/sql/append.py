"""A message on its way into a mailbox of a database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection

from pillarbox.lib.store.interface import NO_KEYWORDS, Appended, Appender, StoreError, StoreUnavailable
from pillarbox.lib.store.lines import ToCRLF
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import tables
from pillarbox.lib.store.sql.database import Database, Transaction, repeating
from pillarbox.lib.store.sql.object_bodies import body_writer
from pillarbox.lib.store.sql.pieces import BodyWriter
from pillarbox.lib.store.sql.snapshot import MICROSECONDS
from pillarbox.lib.store.sql.tables import MailboxRow


class SqlAppender(Appender):
    """Into the mailbox of a canonical name."""

    def __init__(self, database: Database, name: str, quota: Quota) -> None:
        self._database = database
        self.name = name
        self._quota = quota
        self._convert = ToCRLF()
        self._body: BodyWriter | None = body_writer(database)
        self._prepared = False

    @property
    def size(self) -> int:
        """Octets so far."""
        return self._body.size if self._body is not None else 0

    def write(self, data: bytes) -> None:
        if self._body is not None:
            self._body.write(self._convert.feed(data))

    @repeating
    def commit(
        self, flags: int = 0, keywords: Collection[str] = NO_KEYWORDS, internal_date: float | None = None
    ) -> Appended:
        self.prepare()
        with self._database.writing(durable=True) as transaction:
            done = self.store(transaction, flags, keywords, internal_date)
        self._body = None
        return done

    def prepare(self) -> None:
        """All has been written: do what needs no transaction, before `store`.  Raises StoreError."""
        if self._body is None:
            raise StoreUnavailable("the message is already stored or thrown away")
        if not self._prepared:
            self._body.prepare()
            self._prepared = True

    def store(
        self,
        transaction: Transaction,
        flags: int,
        keywords: Collection[str],
        internal_date: float | None,
        *,
        uid: int | None = None,
        saved: float | None = None,
        target: MailboxRow | None = None,
    ) -> Appended:
        """The message in a transaction that stores others too, and may be done again where that comes to nothing.

        `target` is the mailbox as it is now, where that is known; `uid` one that it keeps free, if not the next.
        Raises StoreError.
        """
        if self._body is None:
            raise StoreUnavailable("the message is already stored or thrown away")
        now = time.time_ns() // 1000
        target = target or tables.by_name(transaction, self.name)
        tables.check_quota(transaction, self._quota, target.name, self._body.size, 1)
        words = tables.keep_keywords(transaction, target.mailbox, keywords)
        body = self._body.finish(transaction)
        modseq = tables.next_modseq(transaction)
        uids = 0
        if uid is None:
            uid, uids = target.uid_next, 1
        transaction.execute(
            "INSERT INTO messages (account, mailbox, uid, flags, keywords, modseq, size, arrived, saved, body)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            transaction.account,
            target.mailbox,
            uid,
            flags,
            " ".join(sorted(words.values())),
            modseq,
            self._body.size,
            now if internal_date is None else round(internal_date * MICROSECONDS),
            now if saved is None else round(saved * MICROSECONDS),
            body,
        )
        size = self._body.size
        unseen, deleted = tables.unseen((flags,)), tables.deleted((flags,))
        tables.count(transaction, target.mailbox, modseq, 1, unseen, deleted, size, uids=uids)
        tables.tally(transaction, self._quota, target.name, size, 1)
        transaction.notify(target.mailbox)
        return Appended(target.uid_validity, uid)

    def abort(self) -> None:
        body, self._body = self._body, None
        if body is not None and body.uploaded:
            # Where this fails the body is cleared away in time.
            with contextlib.suppress(StoreError), self._database.writing(durable=False) as transaction:
                body.forget(transaction)
