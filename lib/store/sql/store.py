"""All mailboxes of an account in a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from pillarbox.lib.store.delivering import Delivery, Outcomes
from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.interface import (
    DELIMITER,
    INBOX,
    Appender,
    MailboxEntry,
    MailboxExists,
    MailboxNotFound,
    MailboxStatus,
    NoteKind,
    NotPossible,
    OverQuota,
    QuotaRoot,
    Store,
)
from pillarbox.lib.store.keeping import Identity, Restoring
from pillarbox.lib.store.listing import entries
from pillarbox.lib.store.notes import LIMIT
from pillarbox.lib.store.patience import give_way
from pillarbox.lib.store.quota import DOMAIN_ROOT, FROM_FILE, MAILBOX_ROOT, Quota, Usage
from pillarbox.lib.store.sql import pieces, tables
from pillarbox.lib.store.sql.append import SqlAppender
from pillarbox.lib.store.sql.checking import check, forget_beside
from pillarbox.lib.store.sql.database import Database, repeating
from pillarbox.lib.store.sql.delivery import deliver
from pillarbox.lib.store.sql.mailbox import SqlMailbox
from pillarbox.lib.store.sql.names import canonical
from pillarbox.lib.store.sql.object_bodies import clear_unused
from pillarbox.lib.store.sql.restoring import SqlRestoring
from pillarbox.lib.store.sql.tables import MailboxRow


class SqlStore(Store):
    """The account that `database` shows; INBOX is made when first asked for."""

    def __init__(self, location: str, database: Database, quota: Quota = FROM_FILE) -> None:
        self.location = location
        self._database = database
        self._quota = quota
        if quota.hosted:
            database.count_for(quota)

    # --- finding
    def _find(self, name: str) -> MailboxRow | None:
        """The mailbox of a canonical name; INBOX is made."""
        found = self._database.single(tables.BY_NAME, self._database.account, name)
        if found:
            return MailboxRow(*found[0])
        if name != INBOX:
            return None
        with self._database.writing(durable=True) as transaction:
            row = transaction.row(tables.BY_NAME, transaction.account, name)
            return MailboxRow(*row) if row is not None else tables.make_mailbox(transaction, name)

    def _existing(self, name: str) -> MailboxRow:
        name = canonical(name)
        row = self._find(name)
        if row is None:
            raise MailboxNotFound(f'no mailbox "{name}"')
        return row

    def list(self) -> list[MailboxEntry]:
        rows = self._database.single("SELECT name FROM mailboxes WHERE account = ?1", self._database.account)
        existing = {name for (name,) in rows}
        return entries(existing, set(self.subscriptions()))

    def exists(self, name: str) -> bool:
        name = canonical(name)
        return name == INBOX or self._find(name) is not None

    def holds(self, name: str, uid_validity: int) -> bool:
        row = self._find(canonical(name))
        return row is not None and row.uid_validity == uid_validity

    @repeating
    def create(self, name: str) -> None:
        name = canonical(name)
        with self._database.writing(durable=True) as transaction:
            if name == INBOX or transaction.row(tables.BY_NAME, transaction.account, name) is not None:
                raise MailboxExists(f'mailbox "{name}" exists already')
            tables.make_mailbox(transaction, name)
            transaction.notify(0)

    @repeating
    def delete(self, name: str) -> None:
        name = canonical(name)
        if name == INBOX:
            raise NotPossible("INBOX cannot be deleted")
        with self._database.writing(durable=True) as transaction:
            row = tables.by_name(transaction, name)
            values = (transaction.account, row.mailbox)
            counted = transaction.rows(
                "SELECT body, COUNT(*) FROM messages WHERE account = ?1 AND mailbox = ?2 GROUP BY body", *values
            )
            pieces.release(transaction, Counter(dict(counted)))
            tables.tally(transaction, self._quota, name, -row.size, -row.messages)
            for table in ("messages", "expunged", "keywords", "notes", "uidls", "mailboxes"):
                transaction.execute(f"DELETE FROM {table} WHERE account = ?1 AND mailbox = ?2", *values)
            clear_unused(self._database, transaction)
            transaction.notify(row.mailbox)
            transaction.notify(0)
        forget_beside(self._database, row.mailbox)
        self._database.shrink()

    def rename(self, old: str, new: str) -> None:
        old, new = canonical(old), canonical(new)
        if new.startswith(old + DELIMITER):
            raise NotPossible("a mailbox cannot be moved below itself")
        if old == INBOX:
            give_way()
            self.create(new)
            with self.open(INBOX) as inbox:
                inbox.move(list(inbox.messages.uids), new)
            return
        self._rename(old, new)

    @repeating
    def _rename(self, old: str, new: str) -> None:
        with self._database.writing(durable=True) as transaction:
            names: dict[str, int] = dict(
                transaction.rows("SELECT name, mailbox FROM mailboxes WHERE account = ?1", transaction.account)
            )
            if new in names or new == INBOX:
                raise MailboxExists(f'mailbox "{new}" exists already')
            affected = [name for name in names if name == old or name.startswith(old + DELIMITER)]
            if not affected:
                raise MailboxNotFound(f'no mailbox "{old}"')
            for name in affected:
                target = canonical(new + name[len(old) :])
                if target in names:
                    raise MailboxExists(f'mailbox "{target}" exists already')
                transaction.execute(
                    "UPDATE mailboxes SET name = ?3 WHERE account = ?1 AND mailbox = ?2",
                    transaction.account,
                    names[name],
                    target,
                )
                if tables.counts(self._quota, name) != tables.counts(self._quota, target):
                    moved = tables.by_number(transaction, names[name])
                    tables.tally(transaction, self._quota, name, -moved.size, -moved.messages)
                    tables.tally(transaction, self._quota, target, moved.size, moved.messages)
            transaction.notify(0)

    # --- subscriptions and notes
    def subscriptions(self) -> tuple[str, ...]:
        rows = self._database.single(
            "SELECT name FROM subscriptions WHERE account = ?1 ORDER BY name", self._database.account
        )
        return tuple(name for (name,) in rows)

    @repeating
    def subscribe(self, name: str, wanted: bool) -> None:
        name = canonical(name)
        statement = (
            "INSERT INTO subscriptions (account, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
            if wanted
            else "DELETE FROM subscriptions WHERE account = ?1 AND name = ?2"
        )
        with self._database.writing(durable=True) as transaction:
            transaction.execute(statement, transaction.account, name)

    _NOTE = "SELECT data FROM notes WHERE account = ?1 AND mailbox = ?2 AND kind = ?3"

    def note(self, name: str, kind: NoteKind) -> bytes:
        mailbox = self._existing(name).mailbox if name else 0
        found = self._database.single(self._NOTE, self._database.account, mailbox, kind)
        return bytes(found[0][0]) if found else b""

    @repeating
    def change_note(self, name: str, kind: NoteKind, change: Callable[[bytes], bytes]) -> None:
        mailbox = self._existing(name).mailbox if name else 0
        with self._database.writing(durable=True) as transaction:
            values = (transaction.account, mailbox, kind)
            if mailbox:
                tables.by_number(transaction, mailbox)
            row = transaction.row(self._NOTE, *values)
            before = bytes(row[0]) if row is not None else b""
            after = change(before)
            if len(after) > LIMIT:
                raise OverQuota(f"more than {LIMIT} octets of notes")
            if after == before:
                return
            transaction.execute("DELETE FROM notes WHERE account = ?1 AND mailbox = ?2 AND kind = ?3", *values)
            if after:
                transaction.execute(
                    "INSERT INTO notes (account, mailbox, kind, data) VALUES (?1, ?2, ?3, ?4)", *values, after
                )

    # --- messages
    @repeating
    def open(self, name: str, read_only: bool = False) -> SqlMailbox:
        return SqlMailbox(self._database, self._existing(name), self._quota, read_only)

    def status(self, name: str, with_size: bool = False) -> MailboxStatus:
        row = self._existing(name)
        recent = 0
        if row.recent_from < row.uid_next:
            ((recent,),) = self._database.single(
                "SELECT COUNT(*) FROM messages WHERE account = ?1 AND mailbox = ?2 AND uid >= ?3",
                self._database.account,
                row.mailbox,
                row.recent_from,
            )
        return MailboxStatus(
            messages=row.messages,
            recent=recent,
            unseen=row.unseen,
            deleted=row.deleted,
            uid_next=row.uid_next,
            uid_validity=row.uid_validity,
            highest_modseq=row.modseq,
            size=row.size,
        )

    def begin_append(self, name: str) -> Appender:
        return SqlAppender(self._database, self._existing(name).name, self._quota)

    def deliver(self, batch: Sequence[Delivery]) -> Outcomes:
        return deliver(self._database, self._quota, batch)

    def restoring(self, name: str, identity: Identity, token: int | None = None) -> Restoring:
        return SqlRestoring(self._database, self._existing(name).mailbox, self._quota, identity, token)

    def leave_out_uids(self, name: str, number: int) -> None:
        number_of = self._existing(name).mailbox
        with self._database.writing(durable=True) as transaction:
            row = tables.by_number(transaction, number_of)
            tables.count(transaction, row.mailbox, tables.next_modseq(transaction), 0, 0, 0, 0, uids=number)
            transaction.notify(row.mailbox)
        forget_beside(self._database, number_of)

    def check(self, *, mend: bool) -> Iterator[Finding]:
        return check(self._database, mend=mend)

    def quota_roots(self, name: str) -> tuple[QuotaRoot, ...]:
        if name and not tables.counts(self._quota, self._existing(name).name):
            return ()
        limits, total = self._quota.limits, None
        if not limits and self._database.total is None:
            return ()
        roots = []
        with self._database.reading() as transaction:
            if limits:
                used = tables.usage(transaction, self._quota)
                roots.append(QuotaRoot(MAILBOX_ROOT, used.size, limits.size, used.messages, limits.messages))
            total = transaction.total.read(transaction) if transaction.total is not None else None
        if total is not None:
            (size, messages), limits = total.usage, total.limits
            roots.append(QuotaRoot(DOMAIN_ROOT, size, limits.size, messages, limits.messages))
        return tuple(roots)

    def lacks(self, name: str, size: int) -> str:
        if not self._database.there():
            total = self._database.total.seen() if self._database.total is not None else None
            return tables.lacks_room(self._quota, canonical(name), size, 1, Usage(), total)
        with self._database.reading() as transaction:
            return tables.lacks(transaction, self._quota, canonical(name), size, 1)

    # --- the rest
    def session_lock(self, name: str) -> AbstractContextManager[None]:
        return self._database.session_lock(self._existing(name).mailbox)

    def watch_paths(self, name: str = "", *, notes: bool = False) -> tuple[str, ...]:
        return self._database.watch_paths()

    def close(self) -> None:
        self._database.close()
