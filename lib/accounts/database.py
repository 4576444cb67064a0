"""The account database: one row per hosted account.

Promises: a change is on disk when its method returns; readers in other processes see it with their next query and are
never held up longer than a commit takes.  Works with root as the writer and the auth user as the reader: the file
belongs to the auth user, and the rollback journal beside it is kept (journal_mode=PERSIST) rather than made and removed
with each commit, so that a reader confined to these two files can roll back what a killed writer left.

Does not check passwords (that takes long and is done outside), nor make mailboxes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pillarbox.lib.accounts import schema
from pillarbox.lib.accounts.app_passwords import AppPasswords
from pillarbox.lib.accounts.certificates import Certificates
from pillarbox.lib.accounts.errors import AccountExists, AccountNotFound, AccountsUnavailable, BadLocation, BadQuota
from pillarbox.lib.accounts.failures import failures
from pillarbox.lib.accounts.names import normalize_address
from pillarbox.lib.accounts.networks import KnownNetworks
from pillarbox.lib.accounts.passwords import check_new_password, hash_password
from pillarbox.lib.accounts.protocols import protocols_text, read_protocols
from pillarbox.lib.address.address import split_address
from pillarbox.lib.config.location import parse_location
from pillarbox.lib.config.quota import parse_limits
from pillarbox.lib.sasl.scram import SALT_SIZE, ScramKeys, make_scram_keys

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's commit."""

MODE = 0o600
"""Of the database and its journal: they hold password hashes."""


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account as stored."""

    address: str
    password: str = field(repr=False)
    """Argon2id, PHC string."""
    scram: ScramKeys = field(repr=False)
    created: float
    changed: float
    password_protocols: tuple[str, ...] = ()
    """Where the password counts; empty: everywhere."""
    quota: str = ""
    """What the mailbox may hold, `1000S,10C`; "": as for all."""
    location: str = ""
    """Where the mail lies, as `mail_location`; "": as for all."""


def database_files(path: str) -> tuple[str, str]:
    """The files that a process which reads the database must reach."""
    return path, f"{path}-journal"


class AccountDatabase:
    """An open database.  For one thread.  Every method raises AccountsUnavailable when the database fails."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock
        self.app_passwords = AppPasswords(connection, clock)
        self.certificates = Certificates(connection, clock)
        self.known_networks = KnownNetworks(connection, clock)

    @classmethod
    def open(
        cls,
        path: str,
        *,
        create: bool = False,
        owner: tuple[int, int] | None = None,
        timeout: float = BUSY_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Open the database; with `create`, make it or bring it to the present schema where needed.

        `owner` is the uid and gid that made files are given to (as root).  Raises AccountsUnavailable, also for a file
        that is no database or has another schema.
        """
        if create:
            _make_files(path, owner)
        elif not Path(path).exists():
            raise AccountsUnavailable(f"{path} does not exist; it is made by the first pillarbox user add")
        with failures(path):
            connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = PERSIST")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA foreign_keys = ON")
                if create:
                    schema.migrate(connection)
                schema.check(connection)
            except BaseException:
                connection.close()
                raise
        return cls(connection, clock)

    def add(self, address: str, password: str) -> str:
        """Make an account; gives its address as stored.  Raises AccountExists, BadAddress, BadPassword."""
        address = normalize_address(address)
        hashed, keys = _hash(password)
        now = self._clock()
        row = (address, split_address(address)[1], hashed, keys.to_text(), now, now)
        columns = "address, domain, password, scram_sha_256, created, changed"
        statement = f"INSERT INTO accounts ({columns}) VALUES (?, ?, ?, ?, ?, ?)"
        with failures():
            try:
                self._connection.execute(statement, row)
            except sqlite3.IntegrityError:
                raise AccountExists(f"{address} has an account already") from None
        return address

    def set_password(self, address: str, password: str) -> str:
        """Replace the password; gives the address as stored.  Raises AccountNotFound, BadAddress, BadPassword.

        An account with app passwords keeps its salt: their keys are made with it.
        """
        address = normalize_address(address)
        row = self.lookup(address)
        hashed, keys = _hash(password, row.scram if row is not None and self.app_passwords.of(address) else None)
        statement = "UPDATE accounts SET password = ?, scram_sha_256 = ?, changed = ? WHERE address = ?"
        self._change(address, statement, (hashed, keys.to_text(), self._clock(), address))
        return address

    def set_password_protocols(self, address: str, protocols: Iterable[str]) -> str:
        """Say for which protocols the password counts, none meaning all; gives the address as stored.

        App passwords are not concerned.  Raises AccountNotFound, BadAddress, BadProtocol.
        """
        address = normalize_address(address)
        statement = "UPDATE accounts SET password_protocols = ? WHERE address = ?"
        self._change(address, statement, (protocols_text(protocols), address))
        return address

    def set_quota(self, address: str, quota: str) -> str:
        """Say what the mailbox may hold, "" meaning as for all; gives the address as stored.

        Raises AccountNotFound, BadAddress, BadQuota.
        """
        address = normalize_address(address)
        try:
            text = str(parse_limits(quota)) if quota else ""
        except ValueError as error:
            raise BadQuota(str(error)) from None
        self._change(address, "UPDATE accounts SET quota = ? WHERE address = ?", (text, address))
        return address

    def set_location(self, address: str, location: str) -> str:
        """Say where the mail lies, "" meaning as for all; no mail is moved.  Gives the address as stored.

        Raises AccountNotFound, BadAddress, BadLocation.
        """
        address = normalize_address(address)
        try:
            text = parse_location(location) if location else ""
        except ValueError as error:
            raise BadLocation(str(error)) from None
        self._change(address, "UPDATE accounts SET location = ? WHERE address = ?", (text, address))
        return address

    def delete(self, address: str) -> str:
        """Remove an account with all its credentials, not its mail; gives the address as stored.

        Raises AccountNotFound, BadAddress.
        """
        address = normalize_address(address)
        self._change(address, "DELETE FROM accounts WHERE address = ?", (address,))
        self.known_networks.forget(address)
        return address

    def _change(self, address: str, statement: str, values: tuple[object, ...]) -> None:
        with failures():
            if not self._connection.execute(statement, values).rowcount:
                raise AccountNotFound(f"{address} has no account")

    def lookup(self, address: str) -> AccountRow | None:
        """The account of a normalized address."""
        with failures():
            row = self._connection.execute(
                "SELECT address, password, scram_sha_256, created, changed, password_protocols, quota, location"
                " FROM accounts WHERE address = ?",
                (address,),
            ).fetchone()
        return None if row is None else _row(*row)

    def exists(self, address: str) -> bool:
        """Whether a normalized address has an account."""
        with failures():
            found = self._connection.execute("SELECT 1 FROM accounts WHERE address = ?", (address,)).fetchone()
        return found is not None

    def has_domain(self, domain: str) -> bool:
        """Whether a normalized domain has accounts."""
        with failures():
            found = self._connection.execute("SELECT 1 FROM accounts WHERE domain = ? LIMIT 1", (domain,)).fetchone()
        return found is not None

    def domains(self, after: str, limit: int) -> list[str]:
        """The domains that have accounts, in order: the first `limit` behind `after`."""
        statement = "SELECT DISTINCT domain FROM accounts WHERE domain > ? ORDER BY domain LIMIT ?"
        with failures():
            return [domain for (domain,) in self._connection.execute(statement, (after, limit))]

    def addresses(self, domain: str | None = None) -> list[str]:
        """All accounts, or those of a normalized domain, by domain and then by address."""
        statement = "SELECT address FROM accounts WHERE ?1 IS NULL OR domain = ?1 ORDER BY domain, address"
        with failures():
            return [address for (address,) in self._connection.execute(statement, (domain,))]

    def secret(self) -> bytes:
        """A random secret of this database; from it come the salts that unknown users seem to have."""
        with failures():
            return bytes(self._connection.execute("SELECT value FROM secrets WHERE name = 'salts'").fetchone()[0])

    def close(self) -> None:
        """Close the database.  Harmless when repeated."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hash(password: str, keep: ScramKeys | None = None) -> tuple[str, ScramKeys]:
    check_new_password(password)
    if keep is not None:
        return hash_password(password), make_scram_keys(password, keep.salt, keep.iterations)
    return hash_password(password), make_scram_keys(password, os.urandom(SALT_SIZE))


def _row(
    address: str, password: str, scram: str, created: float, changed: float, protocols: str, quota: str, location: str
) -> AccountRow:
    try:
        keys = ScramKeys.from_text(scram)
        return AccountRow(address, password, keys, created, changed, read_protocols(protocols), quota, location)
    except ValueError:
        raise AccountsUnavailable(f"the SCRAM keys of {address} are damaged: set its password anew") from None


def _make_files(path: str, owner: tuple[int, int] | None) -> None:
    """Make database and journal with the right owner and mode before SQLite does it by the umask."""
    for name in database_files(path):
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        except FileExistsError:
            continue
        except OSError as error:
            raise AccountsUnavailable(f"cannot make {name}: {error.strerror}") from None
        try:
            os.fchmod(descriptor, MODE)
            if owner is not None and os.geteuid() == 0:
                os.fchown(descriptor, *owner)
        finally:
            os.close(descriptor)
