"""The tables, all of them caches: a database of another version is put aside and begun anew.

Times are whole seconds since the epoch.  `expires` is when a row may go.  Addresses stand as keys that cannot be
turned back (`pillarbox.lib.clients.reputation_keys`), accounts and networks in clear, since people ask for them.
"""

from __future__ import annotations

import sqlite3
from typing import Final

VERSION: Final = 1

SHORTENED: Final = ("clients", "triplets", "networks", "correspondents", "account_recipients")
"""The tables whose oldest rows are given up when there is no room."""

EXPIRING: Final = (*SHORTENED, "accounts")
"""The tables with a column `expires`."""

_TABLES: Final = """
CREATE TABLE clients (address TEXT PRIMARY KEY, greet INTEGER NOT NULL, dnsbl INTEGER NOT NULL, rank INTEGER NOT NULL,
    expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE triplets (key TEXT PRIMARY KEY, first INTEGER NOT NULL, passed INTEGER NOT NULL, expires INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE networks (network TEXT PRIMARY KEY, passed INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE correspondents (key TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts (account TEXT PRIMARY KEY, began INTEGER NOT NULL, messages INTEGER NOT NULL,
    recipients INTEGER NOT NULL, new_recipients INTEGER NOT NULL, braked INTEGER NOT NULL, reason TEXT NOT NULL,
    told INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE account_recipients (account TEXT, key TEXT, expires INTEGER NOT NULL, PRIMARY KEY (account, key))
    WITHOUT ROWID;
"""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, all or none.  Raises sqlite3.Error."""
    indexes = "".join(f"CREATE INDEX {table}_expires ON {table} (expires);\n" for table in EXPIRING)
    connection.executescript(f"BEGIN;\n{_TABLES}{indexes}PRAGMA user_version = {VERSION};\nCOMMIT;")


def version(connection: sqlite3.Connection) -> int:
    """The version of a database, 0 for an empty one.  Raises sqlite3.Error."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
