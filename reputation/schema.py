"""The tables: a database of a version that `UPGRADES` does not name is put aside and begun anew.

Times are whole seconds since the epoch.  `expires` is when a row may go.  Addresses stand as keys that cannot be
turned back (`pillarbox.lib.clients.reputation`), accounts, networks and suppressed addresses in clear, since people ask
for them.
"""

from __future__ import annotations

import sqlite3
from typing import Final

VERSION: Final = 2

SHORTENED: Final = ("clients", "triplets", "networks", "correspondents", "account_recipients")
"""The tables whose oldest rows are given up when there is no room."""

EXPIRING: Final = (*SHORTENED, "accounts", "suppressed")
"""The tables with a column `expires`."""

_SUPPRESSED: Final = """
CREATE TABLE suppressed (address TEXT PRIMARY KEY, refusals INTEGER NOT NULL, last INTEGER NOT NULL,
    listed INTEGER NOT NULL, manual INTEGER NOT NULL, reason TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
"""

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


UPGRADES: Final = {1: f"{_SUPPRESSED}CREATE INDEX suppressed_expires ON suppressed (expires);\n"}
"""What makes version N + 1 of version N."""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, all or none.  Raises sqlite3.Error."""
    indexes = "".join(f"CREATE INDEX {table}_expires ON {table} (expires);\n" for table in EXPIRING)
    connection.executescript(f"BEGIN;\n{_TABLES}{_SUPPRESSED}{indexes}PRAGMA user_version = {VERSION};\nCOMMIT;")


def upgrade(connection: sqlite3.Connection, found: int) -> int:
    """Bring a database of a former version to the present one, all or nothing; its version then.

    Raises sqlite3.Error.
    """
    while found in UPGRADES:
        connection.executescript(f"BEGIN;\n{UPGRADES[found]}PRAGMA user_version = {found + 1};\nCOMMIT;")
        found += 1
    return found


def version(connection: sqlite3.Connection) -> int:
    """The version of a database, 0 for an empty one.  Raises sqlite3.Error."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
