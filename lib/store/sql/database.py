"""What the store needs of a database, and the few words in which SQLite and PostgreSQL differ.

Statements are written with `?1`, `?2` ... for their values, each with one type throughout a statement.

    with database.writing(durable=True) as transaction:
        transaction.execute("UPDATE ... WHERE account = ?1", transaction.account)

Everything raises StoreUnavailable where the database cannot be reached or is damaged, MailboxBusy where another
process holds it for too long (`Later` to who is in haste, `lib.store.patience`), OverQuota where the disk is full; then
nothing of the transaction has happened, unless the connection was lost while the commit was under way: that is told as
StoreUnavailable too, and nobody knows.  A Conflict is told where the database itself gave up a transaction that may
well come to its end the next time: what is `repeating` does it again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from pillarbox.lib.store.interface import MailboxBusy
from pillarbox.lib.store.quota import Quota, Usage
from pillarbox.lib.store.sql.objects import Objects
from pillarbox.lib.store.sql.totals import DomainTotal

NEW_ACCOUNT: Final = (
    "INSERT INTO accounts (account, modseq, uid_validity, next_mailbox) VALUES (?1, 0, 0, 1) ON CONFLICT DO NOTHING"
)
"""Makes the row of an account that is not known yet."""

REPEATED: Final = 4
"""How often a transaction is begun that the database gives up."""

Value: TypeAlias = "int | str | bytes"
Row: TypeAlias = "tuple[Any, ...]"
P = ParamSpec("P")
T = TypeVar("T")


class Conflict(MailboxBusy):
    """The database has given up a transaction for the sake of another: a deadlock, or a serialization failure."""


def repeating(call: Callable[P, T]) -> Callable[P, T]:
    """For what changes nothing but in one transaction, and remembers it only afterwards."""

    @wraps(call)
    def repeat(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(REPEATED - 1):
            try:
                return call(*arguments, **named)
            except Conflict:
                pass
        return call(*arguments, **named)

    return repeat


class Transaction(ABC):
    """Statements that see one state of the database, and become visible together."""

    account: Value
    """The value of every `account` column."""
    lock: str
    """What stands behind a SELECT whose rows nobody else may change until the end."""
    reads_only = False
    """Whether it may change nothing."""
    total: DomainTotal | None = None
    """The count of the account's domain, where there may be one."""
    totalled = False
    """Whether there is one, as far as was seen at the beginning."""
    pending = Usage()
    """What came, or went, of what counts for it."""
    modseq: int | None = None
    """The last modification sequence of the account, where it is known; see `tables.next_modseq`."""
    modseq_moved = False
    """Whether it is to be kept."""

    @abstractmethod
    def rows(self, statement: str, *values: Value) -> list[Row]:
        """The rows of a query."""

    @abstractmethod
    def execute(self, statement: str, *values: Value) -> int:
        """Carry out a statement; gives how many rows it concerned."""

    @abstractmethod
    def among(self, column: str, number: int) -> str:
        """A condition: the column is one of the numbers in value `number`, which `listed` has made."""

    @abstractmethod
    def listed(self, numbers: Iterable[int]) -> Value:
        """Numbers as one value."""

    @abstractmethod
    def joined(self, column: str) -> str:
        """An aggregate: the values of a column as one text, in the order of the rows, a line each."""

    @abstractmethod
    def notify(self, mailbox: int) -> None:
        """With the commit, wake who waits for a change of this mailbox."""

    def settle(self) -> None:
        """Before the commit: what is written once for all that was done."""
        if self.modseq_moved and self.modseq is not None:
            self.execute("UPDATE accounts SET modseq = ?2 WHERE account = ?1", self.account, self.modseq)

    def row(self, statement: str, *values: Value) -> Row | None:
        """The first row."""
        found = self.rows(statement, *values)
        return found[0] if found else None

    def many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Carry out a statement for each row of values."""
        for values in rows:
            self.execute(statement, *values)


class Database(ABC):
    """The database as one account sees it.  May be used by several threads, one after the other."""

    where: str
    """For messages; no secrets."""
    account: Value
    """The value of every `account` column."""

    objects: Objects | None = None
    """Where large bodies lie, if not in the database."""
    total: DomainTotal | None = None
    """The count of the account's domain, where there may be one; see `count_for`."""

    @abstractmethod
    def count_for(self, quota: Quota) -> None:
        """From now on count for the domain, too, as `quota` says."""

    def there(self) -> bool:
        """Whether the account may be looked at without being made."""
        return True

    def object_name(self, body: int, segment: int) -> str:
        """The name of an object of a body."""
        raise NotImplementedError

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction that changes nothing."""

    @abstractmethod
    def writing(self, *, durable: bool) -> AbstractContextManager[Transaction]:
        """A transaction with the account to itself.  `durable`: on disk when it ends; else a power loss may undo it."""

    @abstractmethod
    def single(self, statement: str, *values: Value) -> list[Row]:
        """The rows of one query, with no transaction around it."""

    @abstractmethod
    def stamp(self) -> object:
        """Something that differs when anything may have changed; None where only a query can tell."""

    @abstractmethod
    def shrink(self) -> None:
        """Something was removed: give room back."""

    @abstractmethod
    def watch_paths(self) -> tuple[str, ...]:
        """Directories in which something happens when the database changes."""

    @abstractmethod
    def watch_fd(self, mailbox: int) -> int | None:
        """A new descriptor that becomes readable when `notify` has spoken of this mailbox, None where there is none.

        `unwatch` takes it back.
        """

    @abstractmethod
    def unwatch(self, fd: int) -> None:
        """Close a descriptor of `watch_fd`."""

    def beside(self, what: str, mailbox: int) -> str | None:
        """A file for what may be thrown away at any time, None where there is no place for one."""
        return None

    def wrong(self) -> list[str]:
        """What the database itself finds damaged."""
        return []

    @abstractmethod
    def session_lock(self, mailbox: int) -> AbstractContextManager[None]:
        """One session at a time.  Raises MailboxBusy at once where another has it."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back.  Harmless when repeated."""
