"""App passwords: further passwords of an account, each for one program of its owner and for certain protocols.

They are made here, 100 random bits each, and told once.  Only SCRAM keys are kept; a password that nobody can guess
needs no slow hash, and one derivation holds a password against all of an account, because their salt and iteration
count are the account's.  So they work with SCRAM too, where the server must name salt and count before it knows
which password the client has.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pillarbox.lib.accounts.errors import (
    AccountNotFound,
    AccountsUnavailable,
    AppPasswordExists,
    AppPasswordNotFound,
    BadAppPassword,
)
from pillarbox.lib.accounts.failures import failures
from pillarbox.lib.accounts.names import normalize_address
from pillarbox.lib.accounts.protocols import PROTOCOLS, protocols_text, read_protocols
from pillarbox.lib.sasl.scram import ScramKeys, make_scram_keys

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters, without l, o, 0 and 1, which people take for each other."""

GROUPS, GROUP_SIZE = 5, 4
"""20 characters of 5 bits: `abcd-efgh-ijkm-npqr-stuv`, typed as shown."""

_SHAPE = re.compile("-".join([f"[{ALPHABET}]{{{GROUP_SIZE}}}"] * GROUPS))

NAME_LIMIT = 64
"""Characters of a name."""

MOST = 50
"""App passwords of one account: each login holds its proof against all of them."""


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One as stored.  Times in seconds since the epoch; `used` 0: never."""

    id: int
    address: str
    name: str
    protocols: tuple[str, ...]
    scram: ScramKeys = field(repr=False)
    created: float
    used: float
    used_for: str
    used_from: str


def make_app_password() -> str:
    """A fresh random one."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_SIZE)) for _ in range(GROUPS))
    return "-".join(groups)


def is_app_password(text: str) -> bool:
    """Whether a password has the shape of ours."""
    return _SHAPE.fullmatch(text) is not None


class AppPasswords:
    """The table, on the connection of an `AccountDatabase`; methods raise AccountsUnavailable when it fails."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock

    def add(self, address: str, name: str, protocols: Iterable[str] = PROTOCOLS) -> str:
        """Make one; gives the password, which is told by nobody ever again.

        Raises AccountNotFound, AppPasswordExists (the name is taken), BadAddress, BadAppPassword, BadProtocol.
        """
        address = normalize_address(address)
        if not name or len(name) > NAME_LIMIT or not name.isprintable():
            raise BadAppPassword(f"the name must be printable text of 1 to {NAME_LIMIT} characters")
        scope = protocols_text(protocols)
        if not scope:
            raise BadAppPassword("a password for no protocol is good for nothing")
        if len(self.of(address)) >= MOST:
            raise BadAppPassword(f"{address} has {MOST} app passwords; delete one first")
        account = self._account_keys(address)
        password = make_app_password()
        keys = make_scram_keys(password, account.salt, account.iterations)
        with failures():
            try:
                self._connection.execute(
                    "INSERT INTO app_passwords (address, name, protocols, scram_sha_256, created)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (address, name, scope, keys.to_text(), self._clock()),
                )
            except sqlite3.IntegrityError:
                raise AppPasswordExists(f'{address} has an app password "{name}" already') from None
        return password

    def _account_keys(self, address: str) -> ScramKeys:
        with failures():
            row = self._connection.execute(
                "SELECT scram_sha_256 FROM accounts WHERE address = ?", (address,)
            ).fetchone()
        if row is None:
            raise AccountNotFound(f"{address} has no account")
        return _keys(address, row[0])

    def of(self, address: str) -> list[AppPassword]:
        """Those of a normalized address, oldest first."""
        with failures():
            rows = self._connection.execute(
                "SELECT id, address, name, protocols, scram_sha_256, created, used, used_for, used_from"
                " FROM app_passwords WHERE address = ? ORDER BY id",
                (address,),
            ).fetchall()
        return [
            AppPassword(number, owner, name, read_protocols(scope), _keys(owner, keys), created, used, protocol, client)
            for number, owner, name, scope, keys, created, used, protocol, client in rows
        ]

    def delete(self, address: str, name: str) -> None:
        """Remove one; it counts no more at once.  Raises AppPasswordNotFound, BadAddress."""
        address = normalize_address(address)
        with failures():
            statement = "DELETE FROM app_passwords WHERE address = ? AND name = ?"
            if not self._connection.execute(statement, (address, name)).rowcount:
                raise AppPasswordNotFound(f'{address} has no app password "{name}"')

    def record_use(self, number: int, protocol: str, client_address: str) -> None:
        """Note that one was used just now."""
        with failures():
            self._connection.execute(
                "UPDATE app_passwords SET used = ?, used_for = ?, used_from = ? WHERE id = ?",
                (self._clock(), protocol, client_address, number),
            )


def _keys(address: str, text: str) -> ScramKeys:
    try:
        return ScramKeys.from_text(text)
    except ValueError:
        raise AccountsUnavailable(f"the SCRAM keys of {address} are damaged: set its password anew") from None
