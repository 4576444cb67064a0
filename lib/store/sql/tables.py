"""Steps that several operations share: a mailbox's row, modification sequences, keywords, quota.

All are taken within a transaction.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from pillarbox.lib.store.interface import DELETED, SEEN, MailboxNotFound, OverQuota
from pillarbox.lib.store.quota import Quota, Usage, used_up
from pillarbox.lib.store.sql.database import Transaction
from pillarbox.lib.store.sql.totals import Total

KEYWORDS_MOST: Final = 500
"""Different keywords of a mailbox."""
_EXPUNGED_KEPT: Final = 90 * 86400
"""Seconds for which it is known exactly what was expunged; a client that was away for longer compares all UIDs."""
_SECOND: Final = 20
"""Modification sequences are seconds shifted by so much, so that those given after a restored backup, or after a power
loss that undid the last changes, are higher than all that were told before."""


class MailboxRow(NamedTuple):
    """A mailbox as the table has it."""

    mailbox: int
    name: str
    uid_validity: int
    uid_next: int
    recent_from: int
    modseq: int
    expunged_to: int
    messages: int
    unseen: int
    deleted: int
    size: int
    object_id: str = ""


_COLUMNS: Final = ", ".join(MailboxRow._fields)
BY_NAME: Final = f"SELECT {_COLUMNS} FROM mailboxes WHERE account = ?1 AND name = ?2"
BY_NUMBER: Final = f"SELECT {_COLUMNS} FROM mailboxes WHERE account = ?1 AND mailbox = ?2"


def by_name(transaction: Transaction, name: str) -> MailboxRow:
    """The mailbox of a canonical name.  Raises MailboxNotFound."""
    row = transaction.row(BY_NAME, transaction.account, name)
    if row is None:
        raise MailboxNotFound(f'no mailbox "{name}"')
    return MailboxRow(*row)


def by_number(transaction: Transaction, mailbox: int) -> MailboxRow:
    """An open mailbox.  Raises MailboxNotFound."""
    row = transaction.row(BY_NUMBER, transaction.account, mailbox)
    if row is None:
        raise MailboxNotFound("the mailbox was deleted")
    return MailboxRow(*row)


def next_modseq(transaction: Transaction) -> int:
    """A modification sequence above all given before."""
    return raise_modseq(transaction, max(_last_modseq(transaction) + 1, int(time.time()) << _SECOND))


def raise_modseq(transaction: Transaction, least: int) -> int:
    """All that are given from now on are above `least`; gives the last one."""
    transaction.modseq = max(_last_modseq(transaction), least)
    transaction.modseq_moved = True
    return transaction.modseq


def _last_modseq(transaction: Transaction) -> int:
    if transaction.modseq is None:
        row = transaction.row("SELECT modseq FROM accounts WHERE account = ?1", transaction.account)
        transaction.modseq = int(row[0]) if row is not None else 0
    return transaction.modseq


def new_uid_validity(transaction: Transaction) -> int:
    """A UIDVALIDITY above all that mailboxes of the account had before."""
    ((last,),) = transaction.rows("SELECT uid_validity FROM accounts WHERE account = ?1", transaction.account)
    validity = max(int(time.time()), int(last) + 1) & 0xFFFFFFFF
    transaction.execute("UPDATE accounts SET uid_validity = ?2 WHERE account = ?1", transaction.account, validity)
    return validity


def time_of(modseq: int) -> int:
    """When a modification sequence was given, in seconds since the epoch, or somewhat earlier."""
    return modseq >> _SECOND


def make_mailbox(transaction: Transaction, name: str) -> MailboxRow:
    """A new mailbox; the name is canonical and free."""
    validity = new_uid_validity(transaction)
    ((number,),) = transaction.rows("SELECT next_mailbox FROM accounts WHERE account = ?1", transaction.account)
    transaction.execute("UPDATE accounts SET next_mailbox = ?2 WHERE account = ?1", transaction.account, number + 1)
    row = MailboxRow(number, name, validity, 1, 1, next_modseq(transaction), 0, 0, 0, 0, 0)
    slots = ", ".join(f"?{each}" for each in range(2, 2 + len(row)))
    transaction.execute(f"INSERT INTO mailboxes (account, {_COLUMNS}) VALUES (?1, {slots})", transaction.account, *row)
    return row


def count(
    transaction: Transaction,
    mailbox: int,
    modseq: int,
    messages: int,
    unseen: int,
    deleted: int,
    size: int,
    *,
    uids: int = 0,
) -> None:
    """So much more, or less, is in a mailbox, and so many UIDs were taken."""
    transaction.execute(
        "UPDATE mailboxes SET modseq = ?3, messages = messages + ?4, unseen = unseen + ?5, deleted = deleted + ?6,"
        " size = size + ?7, uid_next = uid_next + ?8 WHERE account = ?1 AND mailbox = ?2",
        transaction.account,
        mailbox,
        modseq,
        messages,
        unseen,
        deleted,
        size,
        uids,
    )


def unseen(flags: Iterable[int]) -> int:
    """How many are without `SEEN`."""
    return sum(not each & SEEN for each in flags)


def deleted(flags: Iterable[int]) -> int:
    """How many are with `DELETED`."""
    return sum(bool(each & DELETED) for each in flags)


def forget_expunged(transaction: Transaction, mailbox: int) -> None:
    """Expunges of long ago are not kept one by one."""
    border = (int(time.time()) - _EXPUNGED_KEPT) << _SECOND
    if transaction.execute(
        "DELETE FROM expunged WHERE account = ?1 AND mailbox = ?2 AND modseq <= ?3",
        transaction.account,
        mailbox,
        border,
    ):
        transaction.execute(
            "UPDATE mailboxes SET expunged_to = ?3 WHERE account = ?1 AND mailbox = ?2",
            transaction.account,
            mailbox,
            border,
        )


# --- keywords
def known_keywords(transaction: Transaction, mailbox: int) -> dict[str, str]:
    """The keywords of a mailbox by their folded form."""
    rows = transaction.rows(
        "SELECT folded, keyword FROM keywords WHERE account = ?1 AND mailbox = ?2 ORDER BY folded",
        transaction.account,
        mailbox,
    )
    return dict(rows)


def keep_keywords(transaction: Transaction, mailbox: int, wanted: Collection[str]) -> dict[str, str]:
    """Of `wanted`, those that the mailbox has or gets, by their folded form; the first spelling stays."""
    if not wanted:
        return {}
    known = known_keywords(transaction, mailbox)
    kept = {}
    for keyword in sorted(wanted):
        folded = keyword.lower()
        if folded not in known:
            if len(known) >= KEYWORDS_MOST:
                known = _without_unused(transaction, mailbox, known)
            if len(known) >= KEYWORDS_MOST or not _storable(keyword):
                continue
            known[folded] = keyword
            transaction.execute(
                "INSERT INTO keywords (account, mailbox, folded, keyword) VALUES (?1, ?2, ?3, ?4)",
                transaction.account,
                mailbox,
                folded,
                keyword,
            )
        kept[folded] = known[folded]
    return kept


def _storable(keyword: str) -> bool:
    return bool(keyword) and keyword.isprintable() and not any(each.isspace() for each in keyword)


def _without_unused(transaction: Transaction, mailbox: int, known: dict[str, str]) -> dict[str, str]:
    """There is no room: take away what no message has."""
    rows = transaction.rows(
        "SELECT DISTINCT keywords FROM messages WHERE account = ?1 AND mailbox = ?2", transaction.account, mailbox
    )
    used = {word.lower() for (words,) in rows for word in words.split()}
    for folded in [each for each in known if each not in used]:
        del known[folded]
        transaction.execute(
            "DELETE FROM keywords WHERE account = ?1 AND mailbox = ?2 AND folded = ?3",
            transaction.account,
            mailbox,
            folded,
        )
    return known


# --- quota
def usage(transaction: Transaction, quota: Quota) -> Usage:
    """What counts for the quota."""
    used = Usage()
    for name, messages, size in transaction.rows(
        "SELECT name, messages, size FROM mailboxes WHERE account = ?1", transaction.account
    ):
        if counts(quota, name):
            used = used.plus(size, messages)
    return used


def counts(quota: Quota, name: str) -> bool:
    """Whether what lies in the mailbox of this name counts for the quota."""
    rule = quota.rule(name) if quota.rules else None
    return rule is None or not rule.ignore


def tally(transaction: Transaction, quota: Quota, name: str, size: int, messages: int) -> None:
    """Note for the domain what came into the mailbox of this name or, negative, went from there."""
    if transaction.total is not None and counts(quota, name):
        transaction.pending = transaction.pending.plus(size, messages)


def lacks(transaction: Transaction, quota: Quota, name: str, size: int, messages: int) -> str:
    """Why so much more has no room in this mailbox; "" where it has."""
    if (not quota.limits and transaction.total is None) or not counts(quota, name):
        return ""
    used = usage(transaction, quota) if quota.limits else Usage()
    total = transaction.total.read(transaction) if transaction.total is not None else None
    return lacks_room(quota, name, size, messages, used, total)


def lacks_room(quota: Quota, name: str, size: int, messages: int, used: Usage, total: Total | None) -> str:
    """The same, for an account and a domain of which so much is used."""
    rule = quota.rule(name)
    if rule is not None and rule.ignore:
        return ""
    for what, held, limits in (
        ("mailbox", used, quota.limits),
        ("domain", total.usage if total is not None else used, total.limits if total is not None else None),
    ):
        if limits and held.plus(size, messages).exceeds(rule.extended(limits) if rule is not None else limits):
            return used_up(what)
    return ""


def check_quota(transaction: Transaction, quota: Quota, name: str, size: int, messages: int) -> None:
    """Raises OverQuota where so much more has no room in this mailbox."""
    if why := lacks(transaction, quota, name, size, messages):
        raise OverQuota(why)
