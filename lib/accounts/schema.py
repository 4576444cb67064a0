"""The tables, versioned: each version is a step from the one before, applied in order when the database is opened.

`PRAGMA user_version` holds the version.  A database from a newer suite is refused rather than guessed at.
"""

from __future__ import annotations

import sqlite3

from pillarbox.lib.accounts.errors import AccountsUnavailable

STEPS = (
    # 1: an account with its two kinds of credential
    """
    CREATE TABLE accounts (
        address       TEXT PRIMARY KEY,           -- as normalize_address gives it
        domain        TEXT NOT NULL,              -- the part behind the @
        password      TEXT NOT NULL,              -- Argon2id, PHC string
        scram_sha_256 TEXT NOT NULL,              -- RFC 5803 text
        created       REAL NOT NULL,              -- seconds since the epoch
        changed       REAL NOT NULL               -- when the password was set
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX accounts_by_domain ON accounts (domain);
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO secrets VALUES ('salts', randomblob(32));
    """,
    # 2: further credentials, and from where each account has logged in
    """
    ALTER TABLE accounts ADD COLUMN password_protocols TEXT NOT NULL DEFAULT '';  -- where the password counts; '': all
    CREATE TABLE app_passwords (
        id            INTEGER PRIMARY KEY,
        address       TEXT NOT NULL REFERENCES accounts (address) ON DELETE CASCADE,
        name          TEXT NOT NULL,              -- the owner's: phone, laptop
        protocols     TEXT NOT NULL,              -- names with blanks between
        scram_sha_256 TEXT NOT NULL,              -- RFC 5803 text, salt and iterations those of the account
        created       REAL NOT NULL,              -- seconds since the epoch
        used          REAL NOT NULL DEFAULT 0,    -- last time, to some minutes; 0: never
        used_for      TEXT NOT NULL DEFAULT '',   -- protocol
        used_from     TEXT NOT NULL DEFAULT '',   -- client address
        UNIQUE (address, name)
    ) STRICT;
    CREATE TABLE certificates (
        fingerprint   TEXT PRIMARY KEY,           -- SHA-256 of certificate or public key, lower-case hex
        address       TEXT NOT NULL REFERENCES accounts (address) ON DELETE CASCADE,
        name          TEXT NOT NULL,
        created       REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX certificates_by_address ON certificates (address);
    CREATE TABLE known_networks (
        address       TEXT NOT NULL,              -- a hosted account or the name of a system user
        network       TEXT NOT NULL,              -- IPv4 address or IPv6 /64
        seen          REAL NOT NULL,              -- last login, to a day
        PRIMARY KEY (address, network)
    ) STRICT, WITHOUT ROWID;
    """,
    # 3: how much an account may hold, where that is not as for all
    """
    ALTER TABLE accounts ADD COLUMN quota TEXT NOT NULL DEFAULT '';  -- as the first line of maildirsize; '': as for all
    """,
    # 4: where an account's mail lies, where that is not as for all
    """
    ALTER TABLE accounts ADD COLUMN location TEXT NOT NULL DEFAULT '';  -- as mail_location; '': as for all
    """,
)
VERSION = len(STEPS)


def version(connection: sqlite3.Connection) -> int:
    """The schema version of a database; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check(connection: sqlite3.Connection) -> None:
    """Raise AccountsUnavailable unless the database has this suite's version."""
    found = version(connection)
    if found > VERSION:
        raise AccountsUnavailable(f"the database has schema version {found}, this suite knows {VERSION}: upgrade it")
    if found < VERSION:
        raise AccountsUnavailable(f"the database has schema version {found}, not {VERSION}: run pillarbox user list")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to this suite's version; each step is one transaction with its version number."""
    while (found := version(connection)) < VERSION:
        connection.executescript(f"BEGIN IMMEDIATE; {STEPS[found]} PRAGMA user_version = {found + 1}; COMMIT;")
    check(connection)
