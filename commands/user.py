"""`pillarbox user`: make, change, list and remove hosted accounts.

    pillarbox user add ADDRESS [PASSWORD]
    pillarbox user passwd ADDRESS [PASSWORD]
    pillarbox user list [DOMAIN]
    pillarbox user del ADDRESS

Without PASSWORD it is asked for twice at a terminal, or read as one line from the standard input.  Only the row in the
database changes: the mailbox is made by the first delivery or login, and `del` leaves the mail where it is.
Ends with 0 or a sysexits(3) code: 64 usage, 65 bad address or password, 67 no such account, 73 exists already,
75 database busy, 77 no permission.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pillarbox.lib.accounts import (
    AccountDatabase,
    AccountExists,
    AccountNotFound,
    AccountsError,
    BadAddress,
    BadPassword,
    normalize_address,
)
from pillarbox.lib.address import normalize_domain
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_DATABASE
from pillarbox.lib.config.parameters.general import AUTH_OWNER
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity

USAGE = "usage: pillarbox user add ADDRESS [PASSWORD] | passwd ADDRESS [PASSWORD] | list [DOMAIN] | del ADDRESS"

_EXIT: tuple[tuple[type[AccountsError], int], ...] = (
    (BadAddress, os.EX_DATAERR),
    (BadPassword, os.EX_DATAERR),
    (AccountNotFound, os.EX_NOUSER),
    (AccountExists, os.EX_CANTCREAT),
)


class _Usage(Exception):
    pass


def main(argv: Sequence[str], config: Config) -> int:
    """Run `pillarbox user` with the words after `user`; gives the exit status."""
    try:
        if not argv or argv[0] not in _VERBS:
            raise _Usage
        verb, minimum, maximum = _VERBS[argv[0]]
        if not minimum <= len(argv) - 1 <= maximum:
            raise _Usage
        verb(config, *argv[1:])
    except _Usage:
        print(USAGE, file=sys.stderr)
        return os.EX_USAGE
    except AccountsError as error:
        print(f"pillarbox user: {error}", file=sys.stderr)
        return _exit_status(error, config)
    except PrivilegeError as error:
        print(f"pillarbox user: auth_owner: {error}", file=sys.stderr)
        return os.EX_CONFIG
    return os.EX_OK


def _exit_status(error: AccountsError, config: Config) -> int:
    for kind, status in _EXIT:
        if isinstance(error, kind):
            return status
    path = config[AUTH_DATABASE]
    readable = os.access(path if Path(path).exists() else Path(path).parent, os.R_OK | os.W_OK)
    return os.EX_TEMPFAIL if readable else os.EX_NOPERM


def _open(config: Config) -> AccountDatabase:
    owner = None
    if os.geteuid() == 0:
        identity = resolve_identity(config[AUTH_OWNER])
        owner = (identity.uid, identity.gid)
    return AccountDatabase.open(config[AUTH_DATABASE], create=True, owner=owner)


def _add(config: Config, address: str, password: str | None = None) -> None:
    normalize_address(address)  # a bad address is better told before the password is asked for
    with contextlib.closing(_open(config)) as accounts:
        accounts.add(address, _password(password))


def _passwd(config: Config, address: str, password: str | None = None) -> None:
    address = normalize_address(address)
    with contextlib.closing(_open(config)) as accounts:
        if not accounts.exists(address):
            raise AccountNotFound(f"{address} has no account")
        accounts.set_password(address, _password(password))


def _list(config: Config, domain: str | None = None) -> None:
    with contextlib.closing(_open(config)) as accounts:
        for address in accounts.addresses(normalize_domain(domain) if domain else None):
            print(address)


def _delete(config: Config, address: str) -> None:
    with contextlib.closing(_open(config)) as accounts:
        accounts.delete(address)


def _password(given: str | None) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != password:
        raise BadPassword("the two passwords differ")
    return password


_VERBS: dict[str, tuple[Callable[..., None], int, int]] = {
    "add": (_add, 1, 2),
    "passwd": (_passwd, 1, 2),
    "list": (_list, 0, 1),
    "del": (_delete, 1, 1),
}
"""The function of each verb and how many words may follow it."""
