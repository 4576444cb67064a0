"""The tables, versioned; a database is brought to the present version when it is opened.

Every primary key begins with `account`, and no statement concerns two accounts (but see `totals`): the tables spread
over the nodes of a database that is distributed by that column.  SQLite, with a file for each account, has 0 there,
which takes no room.

Writers of an account take turns (its row in `accounts` is locked first), so that UIDs and modification sequences
ascend in the order in which they become visible.  Counts in `mailboxes` change with what they count.

A body is the message as on the wire, in pieces of `pieces.PIECE` octets.  `refs` says how many messages have it; one
without messages stays for a while, because a session may be reading it.
"""

from __future__ import annotations

from typing import Final

STEPS: Final = (
    # 1
    """
    CREATE TABLE accounts (
        account       {account} NOT NULL,
        modseq        BIGINT NOT NULL,           -- the last one given
        uid_validity  BIGINT NOT NULL,           -- the last one given
        next_mailbox  BIGINT NOT NULL,
        PRIMARY KEY (account)
    ){without_rowid};
    CREATE TABLE mailboxes (
        account       {account} NOT NULL,
        mailbox       BIGINT NOT NULL,
        name          TEXT NOT NULL,
        uid_validity  BIGINT NOT NULL,
        uid_next      BIGINT NOT NULL,
        recent_from   BIGINT NOT NULL,           -- UIDs from here on are recent for who looks next
        modseq        BIGINT NOT NULL,           -- of the last change
        expunged_to   BIGINT NOT NULL,           -- expunges up to this modseq are no longer all in `expunged`
        messages      BIGINT NOT NULL,
        unseen        BIGINT NOT NULL,
        deleted       BIGINT NOT NULL,
        size          BIGINT NOT NULL,
        PRIMARY KEY (account, mailbox),
        UNIQUE (account, name)
    ){without_rowid};
    CREATE TABLE messages (
        account       {account} NOT NULL,
        mailbox       BIGINT NOT NULL,
        uid           BIGINT NOT NULL,
        flags         INTEGER NOT NULL,
        keywords      TEXT NOT NULL,             -- with blanks between
        modseq        BIGINT NOT NULL,
        size          BIGINT NOT NULL,
        arrived       BIGINT NOT NULL,           -- INTERNALDATE, microseconds since the epoch
        saved         BIGINT NOT NULL,           -- SAVEDATE
        body          BIGINT NOT NULL,
        PRIMARY KEY (account, mailbox, uid)
    ){without_rowid};
    -- An expression, so that nobody takes this index to find messages by UID.
    CREATE INDEX messages_by_modseq ON messages (account, (mailbox + 0), modseq);
    CREATE TABLE expunged (
        account       {account} NOT NULL,
        mailbox       BIGINT NOT NULL,
        uid           BIGINT NOT NULL,
        modseq        BIGINT NOT NULL,
        PRIMARY KEY (account, mailbox, uid)
    ){without_rowid};
    CREATE INDEX expunged_by_modseq ON expunged (account, mailbox, modseq);
    CREATE TABLE keywords (
        account       {account} NOT NULL,
        mailbox       BIGINT NOT NULL,
        folded        TEXT NOT NULL,             -- in lower case
        keyword       TEXT NOT NULL,
        PRIMARY KEY (account, mailbox, folded)
    ){without_rowid};
    CREATE TABLE bodies (
        account       {account} NOT NULL,
        body          BIGINT NOT NULL,
        digest        {bytes} NOT NULL,          -- SHA-256 of the whole; that of a message on its way in is its own
        size          BIGINT NOT NULL,
        refs          BIGINT NOT NULL,
        segments      BIGINT NOT NULL DEFAULT 0, -- objects that hold it; 0: it is in `pieces`
        unused_since  BIGINT NOT NULL,           -- seconds since the epoch; 0: in use
        PRIMARY KEY (account, body),
        UNIQUE (account, digest)
    ){without_rowid};
    CREATE INDEX bodies_unused ON bodies (account, unused_since) WHERE unused_since > 0;
    CREATE TABLE pieces (
        account       {account} NOT NULL,
        body          BIGINT NOT NULL,
        piece         INTEGER NOT NULL,          -- from 0
        form          INTEGER NOT NULL,          -- 0: as it is, 1: zlib
        data          {bytes} NOT NULL,
        PRIMARY KEY (account, body, piece)
    );
    CREATE TABLE subscriptions (
        account       {account} NOT NULL,
        name          TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ){without_rowid};
    CREATE TABLE notes (
        account       {account} NOT NULL,
        mailbox       BIGINT NOT NULL,           -- 0: the account as a whole
        kind          TEXT NOT NULL,
        data          {bytes} NOT NULL,
        PRIMARY KEY (account, mailbox, kind)
    ){without_rowid};
    """,
    # 2
    """
    ALTER TABLE mailboxes ADD COLUMN object_id TEXT NOT NULL DEFAULT ''; -- MAILBOXID, if UIDVALIDITY does not say it
    CREATE TABLE uidls (                         -- POP3 unique-ids that came from another server
        account       {account} NOT NULL,
        mailbox       BIGINT NOT NULL,
        uid           BIGINT NOT NULL,
        uidl          TEXT NOT NULL,
        PRIMARY KEY (account, mailbox, uid)
    ){without_rowid};
    """,
    # 3, for databases of many accounts
    """
    CREATE TABLE totals (                        -- what the accounts of a domain hold together (`totals`)
        account       {account} NOT NULL,        -- "@" and the domain
        line          BIGINT NOT NULL,           -- 0: the sum; others: what came since, or, negative, went
        size          BIGINT NOT NULL,
        messages      BIGINT NOT NULL,
        basis         TEXT NOT NULL,             -- of line 0: the quota, and the folders that do not count
        PRIMARY KEY (account, line)
    );
    """,
)
_SHARED: Final = (2,)
"""Steps that a file with one account skips."""

VERSION: Final = len(STEPS)


def statements(step: int, *, account: str, binary: str, without_rowid: str = "", shared: bool = False) -> list[str]:
    """The statements of a step, from 0, with a database's own words for the types; `shared`: it has many accounts."""
    if step in _SHARED and not shared:
        return []
    text = STEPS[step].format(account=account, bytes=binary, without_rowid=without_rowid)
    lines = "\n".join(line.partition("--")[0] for line in text.splitlines())
    return [each.strip() for each in lines.split(";") if each.strip()]
