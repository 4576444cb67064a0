"""Filling a mailbox of a database under given UIDs (`lib.store.keeping`)."""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.lib.store.delivering import Outcomes, from_store_error, split_flags
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.interface import NotPossible, OverQuota, StoreError
from pillarbox.lib.store.keeping import Identity, Kept, Restoring, id_of
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import tables
from pillarbox.lib.store.sql.append import SqlAppender
from pillarbox.lib.store.sql.database import Database, Transaction
from pillarbox.lib.store.sql.pieces import PIECE
from pillarbox.lib.store.sql.tables import MailboxRow

_HELD = 32 * PIECE
"""Octets of messages that wait for the transaction; more is stored in several."""


class SqlRestoring(Restoring):
    """The mailbox of this number."""

    def __init__(self, database: Database, mailbox: int, quota: Quota, identity: Identity, token: int | None) -> None:
        """Raises NotPossible, StoreError."""
        self._database = database
        self._mailbox = mailbox
        self._quota = quota
        with database.writing(durable=True) as transaction:
            row = tables.by_number(transaction, mailbox)
            if token is None:
                self.token = _begin(transaction, row, identity)
            else:
                self.token = token
                if row.uid_validity != token:
                    raise NotPossible(f'"{row.name}" was replaced by another mailbox')

    def _row(self, transaction: Transaction) -> MailboxRow:
        row = tables.by_number(transaction, self._mailbox)
        if row.uid_validity != self.token:
            raise NotPossible(f'"{row.name}" was replaced by another mailbox')
        return row

    def put(self, batch: Sequence[Kept]) -> Outcomes:
        with self._database.reading() as transaction:
            name = self._row(transaction).name
            there = self._there(transaction, batch)
        outcomes: Outcomes = [None] * len(batch)
        ready: list[tuple[int, Kept, SqlAppender]] = []
        held = 0
        for index, kept in enumerate(batch):
            if kept.uid in there:
                continue
            appender = SqlAppender(self._database, name, self._quota)
            try:
                for piece in kept.delivery.content():
                    appender.write(piece)
                appender.prepare()
            except (StoreError, OSError, EOFError) as error:
                outcomes[index] = self._failure(error)
                appender.abort()
                continue
            ready.append((index, kept, appender))
            held += appender.size
            if held >= _HELD:
                self._store(ready, outcomes)
                ready, held = [], 0
        self._store(ready, outcomes)
        return outcomes

    def _there(self, transaction: Transaction, batch: Sequence[Kept]) -> set[int]:
        """UIDs of which the message is there, or was and has been moved or removed by a session."""
        found: set[int] = set()
        for table in ("messages", "expunged"):
            rows = transaction.rows(
                f"SELECT uid FROM {table} WHERE account = ?1 AND mailbox = ?2 AND {transaction.among('uid', 3)}",
                transaction.account,
                self._mailbox,
                transaction.listed(kept.uid for kept in batch),
            )
            found.update(uid for (uid,) in rows)
        return found

    def _store(self, ready: Sequence[tuple[int, Kept, SqlAppender]], outcomes: Outcomes) -> None:
        if not ready:
            return
        passed_over: set[int] = set()
        try:
            with self._database.writing(durable=True) as transaction:
                row = self._row(transaction)
                # Another process that fills it too may have been quicker.
                there = self._there(transaction, [kept for _, kept, _ in ready])
                for index, kept, appender in ready:
                    if kept.uid in there:
                        passed_over.add(index)
                        continue
                    flags, keywords = split_flags(kept.delivery.flags)
                    try:
                        appender.store(transaction, flags, keywords, kept.delivery.date, uid=kept.uid, saved=kept.saved)
                    except OverQuota as error:  # before anything of it was written
                        if error.__cause__ is not None:
                            raise
                        outcomes[index] = self._failure(error)
                        continue
                    if kept.uidl:
                        transaction.execute(
                            "INSERT INTO uidls (account, mailbox, uid, uidl) VALUES (?1, ?2, ?3, ?4)"
                            " ON CONFLICT (account, mailbox, uid) DO UPDATE SET uidl = excluded.uidl",
                            transaction.account,
                            row.mailbox,
                            kept.uid,
                            kept.uidl,
                        )
        except NotPossible:
            raise
        except StoreError as error:
            for index, _, _ in ready:
                outcomes[index] = outcomes[index] or self._failure(error)
        for index, _, appender in ready:
            if outcomes[index] is not None or index in passed_over:
                appender.abort()

    def _failure(self, error: Exception) -> DeliveryFailure:
        if isinstance(error, StoreError):
            return from_store_error(error, "cannot store a message", self._quota.tempfail)
        if isinstance(error, OSError):
            return from_os_error(error, "cannot read the message")
        return DeliveryFailure("4.3.0", f"cannot read the message: {error}")

    def finish(self, identity: Identity) -> None:
        with self._database.writing(durable=True) as transaction:
            row = self._row(transaction)
            own = "" if identity.mailbox_id == id_of(identity.uid_validity) else identity.mailbox_id
            _raise_floors(transaction, identity)
            fresh = tables.next_modseq(transaction)
            # Who was away while messages went compares all UIDs.
            transaction.execute(
                "UPDATE mailboxes SET uid_validity = ?3, uid_next = ?4, modseq = ?5, expunged_to = ?5, object_id = ?6"
                " WHERE account = ?1 AND mailbox = ?2",
                transaction.account,
                row.mailbox,
                identity.uid_validity,
                max(row.uid_next, identity.border),
                fresh,
                own,
            )
            transaction.execute(
                "DELETE FROM expunged WHERE account = ?1 AND mailbox = ?2", transaction.account, row.mailbox
            )
            transaction.notify(row.mailbox)
            transaction.notify(0)
        self.token = identity.uid_validity


def _begin(transaction: Transaction, row: MailboxRow, identity: Identity) -> int:
    if row.messages:
        raise NotPossible(f'"{row.name}" has messages already')
    _raise_floors(transaction, identity)
    validity = row.uid_validity
    if row.uid_next > 1 or validity == identity.uid_validity:
        validity = tables.new_uid_validity(transaction)
    for table in ("uidls", "expunged"):  # of messages that are gone
        transaction.execute(
            f"DELETE FROM {table} WHERE account = ?1 AND mailbox = ?2", transaction.account, row.mailbox
        )
    transaction.execute(
        "UPDATE mailboxes SET uid_validity = ?3, uid_next = ?4, recent_from = ?4, modseq = ?5, expunged_to = ?5,"
        " object_id = '' WHERE account = ?1 AND mailbox = ?2",
        transaction.account,
        row.mailbox,
        validity,
        identity.border,
        tables.next_modseq(transaction),
    )
    transaction.notify(row.mailbox)
    return validity


def _raise_floors(transaction: Transaction, identity: Identity) -> None:
    """What the account gives from now on is above what clients know from elsewhere."""
    tables.raise_modseq(transaction, identity.modseq)
    transaction.execute(
        "UPDATE accounts SET uid_validity = ?2 WHERE account = ?1 AND uid_validity < ?2",
        transaction.account,
        identity.uid_validity,
    )
