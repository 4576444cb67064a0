"""What the commands on accounts share: the database opened, errors as one line and a sysexits(3) code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from pillarbox.lib.accounts import (
    AccountDatabase,
    AccountExists,
    AccountNotFound,
    AccountsError,
    AppPasswordExists,
    AppPasswordNotFound,
    BadAddress,
    BadAppPassword,
    BadCertificate,
    BadLocation,
    BadPassword,
    BadProtocol,
    BadQuota,
    CertificateExists,
    CertificateNotFound,
)
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.auth import AUTH_DATABASE
from pillarbox.lib.config.parameters.general import AUTH_OWNER
from pillarbox.lib.system.privileges import PrivilegeError, resolve_identity

_EXIT: tuple[tuple[tuple[type[AccountsError], ...], int], ...] = (
    ((BadAddress, BadPassword, BadProtocol, BadQuota, BadLocation, BadAppPassword, BadCertificate), os.EX_DATAERR),
    ((AccountNotFound, AppPasswordNotFound, CertificateNotFound), os.EX_NOUSER),
    ((AccountExists, AppPasswordExists, CertificateExists), os.EX_CANTCREAT),
)


class UsageError(Exception):
    """The words on the command line make no sense."""


def open_accounts(config: Config) -> AccountDatabase:
    """The database, made or brought to the present schema where needed."""
    owner = None
    if os.geteuid() == 0:
        identity = resolve_identity(config[AUTH_OWNER])
        owner = (identity.uid, identity.gid)
    return AccountDatabase.open(config[AUTH_DATABASE], create=True, owner=owner)


def run_command(name: str, usage: str, config: Config | None, work: Callable[[], None]) -> int:
    """Do the work; the exit status, with what went wrong on the standard error."""
    try:
        work()
    except UsageError as error:
        if str(error):
            print(f"pillarbox {name}: {error}", file=sys.stderr)
        print(usage, file=sys.stderr)
        return os.EX_USAGE
    except AccountsError as error:
        print(f"pillarbox {name}: {error}", file=sys.stderr)
        return _exit_status(error, config)
    except PrivilegeError as error:
        print(f"pillarbox {name}: auth_owner: {error}", file=sys.stderr)
        return os.EX_CONFIG
    return os.EX_OK


def _exit_status(error: AccountsError, config: Config | None) -> int:
    for kinds, status in _EXIT:
        if isinstance(error, kinds):
            return status
    if config is None:
        return os.EX_CONFIG
    path = config[AUTH_DATABASE]
    readable = os.access(path if Path(path).exists() else Path(path).parent, os.R_OK | os.W_OK)
    return os.EX_TEMPFAIL if readable else os.EX_NOPERM


def parse_words(words: list[str], options: dict[str, bool]) -> tuple[list[str], dict[str, list[str]]]:
    """Words and options apart; `options` says by name (`--name`) whether one takes a value.

    An option may stand anywhere; raises UsageError for one that is not known or lacks its value.
    """
    positional: list[str] = []
    found: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            positional.append(word)
            continue
        name, separator, value = word.partition("=")
        if name not in options:
            raise UsageError(f"unknown option {name}")
        if not options[name]:
            if separator:
                raise UsageError(f"{name} takes no value")
            found.setdefault(name, []).append("")
        elif separator or rest:
            found.setdefault(name, []).append(value if separator else rest.pop(0))
        else:
            raise UsageError(f"{name} needs a value")
    return positional, found
