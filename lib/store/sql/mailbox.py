"""An open mailbox: the columns of its messages, and what a session does with them.

`refresh` asks for one row; where its modification sequence has moved it reads what has a higher one, in a transaction
of its own, so that messages and UIDNEXT belong together.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Final

from pillarbox.lib.store.index.cache import FileCache
from pillarbox.lib.store.interface import (
    DELETED,
    NO_KEYWORDS,
    SEEN,
    Changes,
    Copied,
    FlagChange,
    FlagsSet,
    Mailbox,
    MessageContent,
    MessageGone,
    MessageState,
    NotPossible,
    Since,
)
from pillarbox.lib.store.keeping import id_of
from pillarbox.lib.store.memory_cache import MemoryCache
from pillarbox.lib.store.quota import Quota
from pillarbox.lib.store.sql import columns, pieces, tables
from pillarbox.lib.store.sql.columns import Kept
from pillarbox.lib.store.sql.database import Database, Row, Transaction, repeating
from pillarbox.lib.store.sql.names import canonical
from pillarbox.lib.store.sql.object_bodies import clear_unused
from pillarbox.lib.store.sql.snapshot import MICROSECONDS, ColumnSnapshot, Message
from pillarbox.lib.store.sql.tables import MailboxRow

_BATCH: Final = 50_000
"""Messages whose columns are read in one row: some megabytes of text."""
CACHE, TEXT = "cache", "text"
"""What lies beside a database that is a file."""
COLUMNS: Final = ".columns"
"""Behind the name of the cache: what the mailbox looked like."""
# With ORDER BY, PostgreSQL would rather walk through the whole mailbox than look up a few UIDs and sort them.
_uid_of: Final = itemgetter(0)
_COLUMNS: Final = ", ".join(Message._fields)


class SqlMailbox(Mailbox):
    """A selected mailbox."""

    messages: ColumnSnapshot

    def __init__(self, database: Database, row: MailboxRow, quota: Quota, read_only: bool) -> None:
        self.name = row.name
        self.read_only = read_only
        self.uid_validity = row.uid_validity
        self._object_id = row.object_id
        self._uidls: dict[int, str] | None = None
        self.messages = ColumnSnapshot()
        cache = database.beside(CACHE, row.mailbox)
        self.cache = MemoryCache() if cache is None else FileCache(cache, self)
        self._database = database
        self._mailbox = row.mailbox
        self._quota = quota
        self._stamp: object = None
        self._fd: int | None = None
        self._keywords: dict[str, str] = {}
        recent_from = self._claim(row)
        self._stamp = database.stamp()
        with database.reading() as transaction:
            row = tables.by_number(transaction, self._mailbox)
            kept = columns.load(f"{cache}{COLUMNS}", row.uid_validity) if cache is not None else None
            changes = None if kept is None else self._bring_up(transaction, row, kept, recent_from)
            if changes is None:
                self.messages = ColumnSnapshot()
                self._load(transaction, recent_from)
                changes = len(self.messages)
            self._keywords = tables.known_keywords(transaction, self._mailbox)
        self.uid_next, self.highest_modseq = row.uid_next, row.modseq
        self._claim(row)
        if cache is not None and columns.worth_keeping(row, changes):
            found, meanings = self.messages.kept()
            columns.keep(f"{cache}{COLUMNS}", row, meanings, found)

    # --- the snapshot
    def _bring_up(self, transaction: Transaction, row: MailboxRow, kept: Kept, recent_from: int) -> int | None:
        """Make of what was kept what there is; how many changes that were, None where it cannot be done."""
        if kept.uid_next > row.uid_next or not row.expunged_to <= kept.modseq <= row.modseq:
            return None
        self.messages.restore(kept.columns, kept.meanings, recent_from)
        self.uid_next, self.highest_modseq = kept.uid_next, kept.modseq
        expunged: list[int] = []
        changed: list[Message] = []
        if kept.modseq < row.modseq:
            expunged = self._expunged(transaction, row)
            changed = [Message(*each) for each in self._changed(transaction)]
        counts = Counter(dict(enumerate(kept.counts)))
        for uid in expunged:
            counts.subtract(self._weight(uid))
        self.messages.remove(expunged)
        new = []
        for each in changed:
            if each.uid >= kept.uid_next:
                new.append(each)
            elif (position := self.messages.position(each.uid)) is not None:
                counts.subtract(self._weight(each.uid))
                self.messages.change(position, each.flags, each.keywords, each.modseq)
                counts.update(self._weight(each.uid))
        self.messages.extend(new, recent_from)
        for each in new:
            counts.update(self._weight(each.uid))
        if tuple(counts[each] for each in range(len(kept.counts))) != columns.counts_of(row):
            return None
        return len(expunged) + len(changed)

    def _weight(self, uid: int) -> dict[int, int]:
        """What a message counts for, as `columns.counts_of`."""
        position = self.messages.position(uid)
        assert position is not None
        (mark,) = self.messages.marks(position, position + 1)
        return {0: 1, 1: not mark & SEEN, 2: bool(mark & DELETED), 3: self.messages.size(position)}

    def _claim(self, row: MailboxRow) -> int:
        """The UID from which on messages are recent here; who looks next will not be told so."""
        if self.read_only or row.recent_from >= row.uid_next:
            return row.recent_from
        with self._database.writing(durable=False) as transaction:
            recent_from = tables.by_number(transaction, self._mailbox).recent_from
            if recent_from < row.uid_next:
                transaction.execute(
                    "UPDATE mailboxes SET recent_from = ?3 WHERE account = ?1 AND mailbox = ?2",
                    transaction.account,
                    self._mailbox,
                    row.uid_next,
                )
        return recent_from

    def _load(self, transaction: Transaction, recent_from: int) -> None:
        joined = ", ".join(f"{transaction.joined(column)}" for column in Message._fields)
        statement = (
            f"SELECT {joined} FROM (SELECT {_COLUMNS} FROM messages"
            " WHERE account = ?1 AND mailbox = ?2 AND uid > ?3 ORDER BY uid LIMIT ?4) AS part"
        )
        last = 0
        while True:
            row = transaction.row(statement, transaction.account, self._mailbox, last, _BATCH)
            if row is None or row[0] is None:
                return
            uids, flags, keywords, modseqs, sizes, arrived = (column.split("\n") for column in row)
            self.messages.extend_columns(
                map(int, uids),
                map(int, flags),
                keywords,
                map(int, modseqs),
                map(int, sizes),
                map(int, arrived),
                recent_from,
            )
            if len(uids) < _BATCH:
                return
            last = int(uids[-1])

    @property
    def mailbox_id(self) -> str:
        return self._object_id or id_of(self.uid_validity)

    @property
    def keywords(self) -> tuple[str, ...]:
        return tuple(self._keywords.values())

    @property
    def accepts_new_keywords(self) -> bool:
        return len(self._keywords) < tables.KEYWORDS_MOST

    @repeating
    def refresh(self) -> Changes:
        stamp = self._database.stamp()
        if stamp is not None and stamp == self._stamp:
            return Changes()
        found = self._database.single(tables.BY_NUMBER, self._database.account, self._mailbox)
        row = MailboxRow(*found[0]) if found else None
        if row is not None and row.uid_validity == self.uid_validity and row.modseq == self.highest_modseq:
            self._stamp = stamp
            return Changes()
        with self._database.reading() as transaction:
            row = tables.by_number(transaction, self._mailbox)
            if row.uid_validity != self.uid_validity:
                return Changes(uid_validity_changed=True)
            expunged = self._expunged(transaction, row)
            rows = [Message(*each) for each in self._changed(transaction)]
            if any(word.lower() not in self._keywords for each in rows for word in each.keywords.split()):
                self._keywords = tables.known_keywords(transaction, self._mailbox)
        new = [each for each in rows if each.uid >= self.uid_next]
        recent_from = self._claim(row) if new else 0  # before anything is remembered: it may fail
        self.messages.remove(expunged)
        changed = []
        for each in rows:
            position = self.messages.position(each.uid) if each.uid < self.uid_next else None
            if position is not None and self.messages.change(position, each.flags, each.keywords, each.modseq):
                changed.append(self.messages[position])
        if new:
            self.messages.extend(new, recent_from)
        self.uid_next, self.highest_modseq, self._stamp = row.uid_next, row.modseq, stamp
        start = len(self.messages) - len(new)
        return Changes(tuple(expunged), tuple(changed), tuple(self.messages[start:]))

    def _changed(self, transaction: Transaction) -> list[Row]:
        return transaction.rows(
            f"SELECT {_COLUMNS} FROM messages WHERE account = ?1 AND mailbox + 0 = ?2 AND modseq > ?3 ORDER BY uid",
            transaction.account,
            self._mailbox,
            self.highest_modseq,
        )

    def _expunged(self, transaction: Transaction, row: MailboxRow) -> list[int]:
        """What is in the snapshot and no longer in the mailbox."""
        known = self.messages.position
        if self.highest_modseq >= row.expunged_to:
            uids = transaction.rows(
                "SELECT uid FROM expunged WHERE account = ?1 AND mailbox = ?2 AND modseq > ?3 ORDER BY uid",
                transaction.account,
                self._mailbox,
                self.highest_modseq,
            )
            return [uid for (uid,) in uids if known(uid) is not None]
        there = transaction.rows(
            "SELECT uid FROM messages WHERE account = ?1 AND mailbox = ?2", transaction.account, self._mailbox
        )
        left = {uid for (uid,) in there}
        return [uid for uid in self.messages.uids if uid not in left]

    def watch_paths(self) -> tuple[str, ...]:
        return self._database.watch_paths()

    @property
    def text_place(self) -> str | None:
        return self._database.beside(TEXT, self._mailbox)

    def watch_fd(self) -> int | None:
        if self._fd is None:
            self._fd = self._database.watch_fd(self._mailbox)
        return self._fd

    # --- a message
    def _known(self, uid: int) -> int:
        position = self.messages.position(uid)
        if position is None:
            raise MessageGone("no such message")
        return position

    def size(self, uid: int) -> int:
        return self.messages.size(self._known(uid))

    def internal_date(self, uid: int) -> float:
        return self.messages.date(self._known(uid))

    def read(self, uid: int) -> MessageContent:
        self._known(uid)
        found = self._database.single(
            "SELECT m.size, m.body, b.segments, p.form, p.data FROM messages AS m"
            " JOIN bodies AS b ON b.account = m.account AND b.body = m.body LEFT JOIN pieces AS p"
            " ON p.account = m.account AND p.body = m.body AND p.piece = 0"
            " WHERE m.account = ?1 AND m.mailbox = ?2 AND m.uid = ?3",
            self._database.account,
            self._mailbox,
            uid,
        )
        if not found:
            raise MessageGone("the message was removed")
        size, body, segments, form, data = found[0]
        return pieces.SqlContent(
            self._database, body, size, segments, b"" if data is None else pieces.unpack(form, data)
        )

    def pop3_uidl(self, uid: int) -> str:
        self._known(uid)
        if self._uidls is None:
            self._uidls = dict(
                self._database.single(
                    "SELECT uid, uidl FROM uidls WHERE account = ?1 AND mailbox = ?2",
                    self._database.account,
                    self._mailbox,
                )
            )
        return self._uidls.get(uid) or f"{uid:08X}{self.uid_validity:08X}"

    def save_date(self, uid: int) -> float | None:
        return float(self._column("saved", uid)) / MICROSECONDS

    def email_id(self, uid: int) -> str:
        self._known(uid)
        found = self._database.single(
            "SELECT b.digest FROM messages AS m JOIN bodies AS b ON b.account = m.account AND b.body = m.body"
            " WHERE m.account = ?1 AND m.mailbox = ?2 AND m.uid = ?3",
            self._database.account,
            self._mailbox,
            uid,
        )
        if not found:
            raise MessageGone("the message was removed")
        return bytes(found[0][0])[:16].hex()

    def _column(self, column: str, uid: int) -> int:
        self._known(uid)
        found = self._database.single(
            f"SELECT {column} FROM messages WHERE account = ?1 AND mailbox = ?2 AND uid = ?3",
            self._database.account,
            self._mailbox,
            uid,
        )
        if not found:
            raise MessageGone("the message was removed")
        return int(found[0][0])

    # --- changes
    def _must_be_writable(self) -> None:
        if self.read_only:
            raise NotPossible("the mailbox is open read-only")

    @contextmanager
    def _changing(self, *, durable: bool) -> Iterator[tuple[Transaction, MailboxRow, Callable[[int], None]]]:
        """A transaction, the mailbox's row, and what is to be called with a modification sequence that was used.

        Afterwards the snapshot's is that one, unless others have changed something that the snapshot does not show.
        """
        used = [0]
        with self._database.writing(durable=durable) as transaction:
            row = tables.by_number(transaction, self._mailbox)
            yield transaction, row, lambda modseq: used.__setitem__(0, modseq)
            if used[0]:
                transaction.notify(self._mailbox)
        if used[0] and row.modseq == self.highest_modseq:
            self.highest_modseq = used[0]

    @repeating
    def set_flags(
        self,
        uids: Collection[int],
        change: FlagChange,
        flags: int,
        keywords: Collection[str] = NO_KEYWORDS,
        *,
        unchanged_since: int | None = None,
    ) -> FlagsSet:
        self._must_be_writable()
        states: list[MessageState] = []
        modified: list[int] = []
        after: list[tuple[int, int, str, int]] = []
        with self._changing(durable=False) as (transaction, _, used):
            if keywords and change != "remove":
                words = tables.keep_keywords(transaction, self._mailbox, keywords)
            else:
                words = {word.lower(): word for word in keywords}
            rows = transaction.rows(
                "SELECT uid, flags, keywords, modseq FROM messages WHERE account = ?1 AND mailbox = ?2"
                f" AND {transaction.among('uid', 3)}",
                transaction.account,
                self._mailbox,
                transaction.listed(sorted(set(uids))),
            )
            rows.sort(key=_uid_of)
            fresh = 0
            groups: dict[tuple[int, str], list[int]] = {}
            unseen = deleted = 0
            for uid, old, old_words, modseq in rows:
                if unchanged_since is not None and modseq > unchanged_since:
                    modified.append(uid)
                    continue
                new, new_words = _changed_flags(old, old_words, change, flags, words)
                if (new, new_words) != (old, old_words):
                    fresh = fresh or tables.next_modseq(transaction)
                    modseq = fresh
                    groups.setdefault((new, new_words), []).append(uid)
                    unseen += (not new & SEEN) - (not old & SEEN)
                    deleted += bool(new & DELETED) - bool(old & DELETED)
                after.append((uid, new, new_words, modseq))
            for (new, new_words), group in groups.items():
                transaction.execute(
                    "UPDATE messages SET flags = ?4, keywords = ?5, modseq = ?6 WHERE account = ?1 AND mailbox = ?2"
                    f" AND {transaction.among('uid', 3)}",
                    transaction.account,
                    self._mailbox,
                    transaction.listed(group),
                    new,
                    new_words,
                    fresh,
                )
            if fresh:
                tables.count(transaction, self._mailbox, fresh, 0, unseen, deleted, 0)
                used(fresh)
            known = tables.known_keywords(transaction, self._mailbox) if words else self._keywords
        self._keywords = known
        for uid, new, new_words, modseq in after:
            position = self.messages.position(uid)
            if position is not None:
                self.messages.change(position, new, new_words, modseq)
                states.append(self.messages[position])
        return FlagsSet(tuple(states), tuple(modified))

    def changed_since(self, modseq: int) -> Since:
        with self._database.reading() as transaction:
            row = tables.by_number(transaction, self._mailbox)
            if modseq < row.expunged_to:
                return super().changed_since(modseq)
            gone = transaction.rows(
                "SELECT uid FROM expunged WHERE account = ?1 AND mailbox = ?2 AND modseq > ?3 ORDER BY uid",
                transaction.account,
                self._mailbox,
                modseq,
            )
        modseqs = self.messages.modseqs()
        changed = tuple(self.messages[each] for each, found in enumerate(modseqs) if found > modseq)
        vanished = [uid for (uid,) in gone if uid < self.uid_next and self.messages.position(uid) is None]
        return Since(changed, tuple(_ranges(vanished)))

    @repeating
    def expunge(self, uids: Collection[int]) -> tuple[int, ...]:
        self._must_be_writable()
        wanted = sorted(uid for uid in set(uids) if self.messages.position(uid) is not None)
        if not wanted:
            return ()
        with self._changing(durable=False) as (transaction, row, used):
            rows = self._rows(transaction, wanted)
            if rows:
                modseq = tables.next_modseq(transaction)
                self._remove(transaction, row.name, rows, modseq)
                pieces.release(transaction, Counter(body for *_, body in rows))
                used(modseq)
            cleared = clear_unused(self._database, transaction)
        self.messages.remove(wanted)
        if cleared:
            self._database.shrink()
        return tuple(uid for uid, *_ in rows)

    def _rows(self, transaction: Transaction, uids: Sequence[int]) -> list[tuple[int, int, str, int, int]]:
        """(uid, flags, keywords, size, body) of the messages among these that are there, ascending."""
        rows = transaction.rows(
            "SELECT uid, flags, keywords, size, body FROM messages WHERE account = ?1 AND mailbox = ?2"
            f" AND {transaction.among('uid', 3)}",
            transaction.account,
            self._mailbox,
            transaction.listed(uids),
        )
        rows.sort(key=_uid_of)
        return rows

    def _remove(
        self, transaction: Transaction, name: str, rows: list[tuple[int, int, str, int, int]], modseq: int
    ) -> None:
        uids = transaction.listed(uid for uid, *_ in rows)
        condition = f"account = ?1 AND mailbox = ?2 AND {transaction.among('uid', 3)}"
        transaction.execute(
            "INSERT INTO expunged (account, mailbox, uid, modseq) SELECT account, mailbox, uid, ?4 FROM messages"
            f" WHERE {condition}",
            transaction.account,
            self._mailbox,
            uids,
            modseq,
        )
        transaction.execute(f"DELETE FROM messages WHERE {condition}", transaction.account, self._mailbox, uids)
        flags = [each for _, each, *_ in rows]
        size = sum(size for *_, size, _ in rows)
        tables.count(
            transaction, self._mailbox, modseq, -len(rows), -tables.unseen(flags), -tables.deleted(flags), -size
        )
        tables.tally(transaction, self._quota, name, -size, -len(rows))
        tables.forget_expunged(transaction, self._mailbox)

    def copy(self, uids: Collection[int], destination: str) -> Copied:
        return self._transfer(uids, destination, move=False)

    def move(self, uids: Collection[int], destination: str) -> Copied:
        self._must_be_writable()
        return self._transfer(uids, destination, move=True)

    @repeating
    def _transfer(self, uids: Collection[int], destination: str, *, move: bool) -> Copied:
        name = canonical(destination)
        wanted = sorted(uid for uid in set(uids) if self.messages.position(uid) is not None)
        with self._changing(durable=True) as (transaction, source, used):
            target = tables.by_name(transaction, name)
            rows = self._rows(transaction, wanted)
            if not rows:
                return Copied(target.uid_validity, (), ())
            flags = [each for _, each, *_ in rows]
            size = sum(size for *_, size, _ in rows)
            self._check_room(transaction, target.name, size, len(rows), move=move)
            tables.keep_keywords(
                transaction, target.mailbox, {word for _, _, words, *_ in rows for word in words.split()}
            )
            modseq = tables.next_modseq(transaction)
            first = target.uid_next
            transaction.execute(
                "INSERT INTO messages (account, mailbox, uid, flags, keywords, modseq, size, arrived, saved, body)"
                " SELECT account, ?4, ?5 + ROW_NUMBER() OVER (ORDER BY uid), flags, keywords, ?6, size, arrived, ?7,"
                f" body FROM messages WHERE account = ?1 AND mailbox = ?2 AND {transaction.among('uid', 3)}",
                transaction.account,
                self._mailbox,
                transaction.listed(uid for uid, *_ in rows),
                target.mailbox,
                first - 1,
                modseq,
                time.time_ns() // 1000,
            )
            tables.count(
                transaction,
                target.mailbox,
                modseq,
                len(rows),
                tables.unseen(flags),
                tables.deleted(flags),
                size,
                uids=len(rows),
            )
            tables.tally(transaction, self._quota, target.name, size, len(rows))
            if move:
                self._remove(transaction, source.name, rows, modseq)
                used(modseq)
            else:
                pieces.acquire(transaction, Counter(body for *_, body in rows))
            if target.mailbox != self._mailbox or not move:
                transaction.notify(target.mailbox)
        if move:
            self.messages.remove([uid for uid, *_ in rows])
            if target.mailbox == self._mailbox:
                self.highest_modseq = min(self.highest_modseq, modseq - 1)  # the new ones are still to be seen
        done = Copied(target.uid_validity, tuple(uid for uid, *_ in rows), tuple(range(first, first + len(rows))))
        if (place := self._database.beside(CACHE, target.mailbox)) is not None:
            self.cache.carry(place, target.uid_validity, done.source_uids, done.uids)
        return done

    def _check_room(self, transaction: Transaction, target: str, size: int, messages: int, *, move: bool) -> None:
        """Moving from one mailbox that counts to another takes no room.  Raises OverQuota."""
        if move and tables.counts(self._quota, self.name):
            return
        tables.check_quota(transaction, self._quota, target, size, messages)

    def close(self) -> None:
        self.cache.close()
        if self._fd is not None:
            self._database.unwatch(self._fd)
            self._fd = None


def _changed_flags(flags: int, words: str, change: FlagChange, bits: int, keywords: dict[str, str]) -> tuple[int, str]:
    """Flags and keywords after a change; `keywords` by their folded form."""
    if change == "replace":
        return bits, " ".join(sorted(keywords.values()))
    if not keywords:
        return (flags | bits if change == "add" else flags & ~bits), words
    have = {word.lower(): word for word in words.split()}
    if change == "add":
        return flags | bits, " ".join(sorted({**keywords, **have}.values()))
    return flags & ~bits, " ".join(sorted(word for folded, word in have.items() if folded not in keywords))


def _ranges(uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending UIDs as ranges, first and last."""
    first = last = 0
    for uid in uids:
        if uid == last + 1 and first:
            last = uid
            continue
        if first:
            yield first, last
        first = last = uid
    if first:
        yield first, last
