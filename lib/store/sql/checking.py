"""Looking for damage in an account: counts that do not agree with what they count, bodies and pieces that are missing
or that nobody has.

Everything but missing octets can be mended, and no UID changes by it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

from pillarbox.lib.store.finding import Finding
from pillarbox.lib.store.index.cache_uids import highest_uid
from pillarbox.lib.store.interface import DELETED, SEEN
from pillarbox.lib.store.keeping import MOST_UID, RESERVE
from pillarbox.lib.store.sql.database import Database, Row, Transaction
from pillarbox.lib.store.sql.mailbox import CACHE, COLUMNS, TEXT
from pillarbox.lib.store.sql.pieces import PIECE
from pillarbox.lib.store.text.file import throw_away

_COUNTED: Final = ("messages", "unseen", "deleted", "size", "least_next", "modseq")


def check(database: Database, *, mend: bool) -> Iterator[Finding]:
    """See `Store.check`.  The account stands still meanwhile where things are mended."""
    yield from (Finding("", f"the database is damaged: {text}") for text in database.wrong())
    with database.writing(durable=True) if mend else database.reading() as transaction:
        found = [
            *_put_back(database, transaction, mend=mend),
            *_counts(transaction, mend=mend),
            *_references(transaction, mend=mend),
            *_pieces(transaction),
        ]
    yield from found


def _put_back(database: Database, transaction: Transaction, *, mend: bool) -> Iterator[Finding]:
    """UIDs of which the cache beside the database knows, and the database does not: it was put back from a backup."""
    for mailbox, name, uid_validity, uid_next in transaction.rows(
        "SELECT mailbox, name, uid_validity, uid_next FROM mailboxes WHERE account = ?1", transaction.account
    ):
        cache = database.beside(CACHE, mailbox)
        highest = highest_uid(cache, uid_validity) if cache is not None else 0
        if highest < uid_next:
            continue
        if mend:
            transaction.execute(
                "UPDATE mailboxes SET uid_next = ?3 WHERE account = ?1 AND mailbox = ?2",
                transaction.account,
                mailbox,
                min(highest + RESERVE, MOST_UID),
            )
            forget_beside(database, mailbox)
        what = f"UID {highest} was given, and the next one is {uid_next}: the database was put back from a backup"
        yield Finding(name, what, mended=mend)


def forget_beside(database: Database, mailbox: int) -> None:
    """Throw away what lies beside the database and is made again."""
    if text := database.beside(TEXT, mailbox):
        throw_away(text)
    if cache := database.beside(CACHE, mailbox):
        for path in (cache, f"{cache}{COLUMNS}"):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _counts(transaction: Transaction, *, mend: bool) -> Iterator[Finding]:
    there = {
        mailbox: tuple(map(int, counted))
        for mailbox, *counted in transaction.rows(
            f"SELECT mailbox, COUNT(*), SUM(CASE WHEN flags & {SEEN} = 0 THEN 1 ELSE 0 END),"
            f" SUM(CASE WHEN flags & {DELETED} <> 0 THEN 1 ELSE 0 END), SUM(size), MAX(uid) + 1, MAX(modseq)"
            " FROM messages WHERE account = ?1 GROUP BY mailbox",
            transaction.account,
        )
    }
    for mailbox, name, uid_next, modseq, *noted in transaction.rows(
        "SELECT mailbox, name, uid_next, modseq, messages, unseen, deleted, size FROM mailboxes WHERE account = ?1",
        transaction.account,
    ):
        *counts, least_next, least_modseq = there.pop(mailbox, (0,) * len(_COUNTED))
        if counts == [*map(int, noted)] and uid_next >= least_next and modseq >= least_modseq:
            continue
        if mend:
            transaction.execute(
                "UPDATE mailboxes SET messages = ?3, unseen = ?4, deleted = ?5, size = ?6, uid_next = ?7, modseq = ?8"
                " WHERE account = ?1 AND mailbox = ?2",
                transaction.account,
                mailbox,
                *counts,
                max(uid_next, least_next),
                max(modseq, least_modseq),
            )
        yield Finding(name, "its counts do not agree with its messages", mended=mend)
    for mailbox in there:
        yield Finding("", f"there are messages of mailbox number {mailbox}, which does not exist")


def _references(transaction: Transaction, *, mend: bool) -> Iterator[Finding]:
    wrong: list[Row] = transaction.rows(
        "SELECT b.body, COALESCE(m.used, 0) FROM bodies AS b LEFT JOIN"
        " (SELECT body, COUNT(*) AS used FROM messages WHERE account = ?1 GROUP BY body) AS m ON m.body = b.body"
        " WHERE b.account = ?1 AND (b.refs <> COALESCE(m.used, 0) OR (b.refs = 0) <> (b.unused_since > 0))",
        transaction.account,
    )
    if wrong:
        for body, used in wrong if mend else ():
            transaction.execute(
                "UPDATE bodies SET refs = ?3, unused_since = ?4 WHERE account = ?1 AND body = ?2",
                transaction.account,
                body,
                used,
                0 if used else int(time.time()),
            )
        yield Finding("", f"{len(wrong)} bodies are used more, or less, than is noted", harmless=True, mended=mend)
    ((strays,),) = transaction.rows(
        "SELECT COUNT(*) FROM pieces AS p LEFT JOIN bodies AS b ON b.account = p.account AND b.body = p.body"
        " WHERE p.account = ?1 AND b.body IS NULL",
        transaction.account,
    )
    if strays:
        if mend:
            transaction.execute(
                "DELETE FROM pieces WHERE account = ?1 AND body NOT IN (SELECT body FROM bodies WHERE account = ?1)",
                transaction.account,
            )
        yield Finding("", f"{strays} pieces belong to no body", harmless=True, mended=mend)


def _pieces(transaction: Transaction) -> Iterator[Finding]:
    """Messages whose octets are not all there; what is in the pieces, reading the message tells."""
    for name, uid in transaction.rows(
        "SELECT x.name, m.uid FROM messages AS m"
        " JOIN mailboxes AS x ON x.account = m.account AND x.mailbox = m.mailbox"
        " LEFT JOIN bodies AS b ON b.account = m.account AND b.body = m.body"
        " LEFT JOIN (SELECT body, COUNT(*) AS number FROM pieces WHERE account = ?1 GROUP BY body) AS p"
        " ON p.body = m.body WHERE m.account = ?1 AND (b.body IS NULL OR b.size <> m.size"
        f" OR COALESCE(p.number, 0) <> CASE WHEN b.segments > 0 THEN 0 ELSE (m.size + {PIECE - 1}) / {PIECE} END)"
        " ORDER BY x.name, m.uid LIMIT 1000",
        transaction.account,
    ):
        yield Finding(name, f"the content of message {uid} is not all there")
