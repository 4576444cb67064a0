"""Delivery into a database: the messages of a batch become visible together, with one wait for the disk.

Each is read, and compressed, before the account is locked.  What cannot be read, or has no room, fails alone; where the
transaction itself fails all wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.lib.store.delivering import Delivery, NoSuchFolder, Outcomes, from_store_error, split_flags
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.interface import INBOX, BadMailboxName, MailboxNotFound, OverQuota, StoreError
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import tables
from pillarbox.lib.store.sql.append import SqlAppender
from pillarbox.lib.store.sql.database import Database, Transaction, repeating
from pillarbox.lib.store.sql.names import canonical
from pillarbox.lib.store.sql.pieces import PIECE
from pillarbox.lib.store.sql.tables import MailboxRow

_HELD = 32 * PIECE
"""Octets of messages that wait for the transaction; more is stored in several."""


def deliver(database: Database, quota: Quota, batch: Sequence[Delivery]) -> Outcomes:
    """See `Store.deliver`."""
    outcomes: Outcomes = [None] * len(batch)
    ready: list[tuple[int, Delivery, SqlAppender]] = []
    held = 0
    for index, delivery in enumerate(batch):
        appender = None
        try:
            appender = SqlAppender(database, canonical(delivery.mailbox), quota)
            for piece in delivery.content():
                appender.write(piece)
            appender.prepare()
        except (StoreError, OSError, EOFError) as error:
            outcomes[index] = _failure(error, delivery, quota)
            if appender is not None:
                appender.abort()
            continue
        ready.append((index, delivery, appender))
        held += appender.size
        if held >= _HELD:
            _store(database, quota, ready, outcomes)
            ready, held = [], 0
    _store(database, quota, ready, outcomes)
    return outcomes


def _store(
    database: Database, quota: Quota, ready: Sequence[tuple[int, Delivery, SqlAppender]], outcomes: Outcomes
) -> None:
    if not ready:
        return
    try:
        for index, failure in _store_all(database, quota, ready).items():
            outcomes[index] = failure
    except StoreError as error:
        for index, delivery, _ in ready:
            outcomes[index] = outcomes[index] or _failure(error, delivery, quota)
    for index, _, appender in ready:
        if outcomes[index] is not None:
            appender.abort()


@repeating
def _store_all(
    database: Database, quota: Quota, ready: Sequence[tuple[int, Delivery, SqlAppender]]
) -> dict[int, DeliveryFailure]:
    """In one transaction; gives what fails alone.  Raises StoreError."""
    failures = {}
    targets: dict[str, MailboxRow] = {}
    with database.writing(durable=True) as transaction:
        for index, delivery, appender in ready:
            try:
                target = targets.get(appender.name)
                if target is None:
                    target = _target(transaction, appender.name, make=delivery.create or appender.name == INBOX)
                flags, keywords = split_flags(delivery.flags)
                stored = appender.store(transaction, flags, keywords, delivery.date, target=target)
                targets[appender.name] = target._replace(uid_next=stored.uid + 1)
            except (MailboxNotFound, OverQuota) as error:  # before anything of it was written
                if error.__cause__ is not None:  # the database's own disk is full: it has given up them all
                    raise
                failures[index] = _failure(error, delivery, quota)
    return failures


def _target(transaction: Transaction, name: str, *, make: bool) -> MailboxRow:
    """The mailbox of a canonical name.  Raises MailboxNotFound."""
    try:
        return tables.by_name(transaction, name)
    except MailboxNotFound:
        if not make:
            raise
    transaction.notify(0)
    return tables.make_mailbox(transaction, name)


def _failure(error: Exception, delivery: Delivery, quota: Quota) -> DeliveryFailure:
    match error:
        case BadMailboxName():
            return NoSuchFolder("5.2.0", f'cannot deliver to folder "{delivery.mailbox}": {error}')
        case MailboxNotFound():
            return NoSuchFolder("4.2.0", f'no folder "{delivery.mailbox}"')
        case StoreError():
            return from_store_error(error, f'cannot deliver to "{delivery.mailbox}"', quota.tempfail)
        case OSError():
            return from_os_error(error, "cannot read the message")
        case _:
            return DeliveryFailure("4.3.0", f"cannot read the message: {error}")
