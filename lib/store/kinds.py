"""The kinds of mail store, by the word before the colon of a location.

A kind is one opener: it gets what stands behind the colon and the account's quota, and gives the store.  All but
Maildir's import their own modules when they are first asked for, so that a command has only what it uses.  A program
that will be confined has those of files from the start (`reach`), and says before which others it will need (`load`):
then nothing has to be read later.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Final

from pillarbox.lib.store.interface import Store, StoreUnavailable
from pillarbox.lib.store.maildir.store import MaildirStore
from pillarbox.lib.store.quota import FROM_FILE, Quota

Opener = Callable[[str, Quota], Store]
"""Opens the store at a place.  Raises StoreUnavailable."""


def _maildir(place: str, quota: Quota) -> Store:
    return MaildirStore(_absolute(place, "maildir:/path"), quota)


def _mbox(place: str, quota: Quota) -> Store:
    from pillarbox.lib.store.mbox.store import MboxStore

    del quota  # holds for Maildirs and databases
    folders, _, option = _absolute(place, "mbox:/path[:INBOX=/path]").partition(":")
    return MboxStore(folders, option.removeprefix("INBOX=") or None)


def _sqlite(place: str, quota: Quota) -> Store:
    from pillarbox.lib.store.sql.sqlite import SqliteDatabase
    from pillarbox.lib.store.sql.store import SqlStore

    path = _absolute(place, "sqlite:/path")
    return SqlStore(f"sqlite:{path}", SqliteDatabase(path), quota)


def _pgsql(place: str, quota: Quota) -> Store:
    from pillarbox.lib.store.sql.place import cache_directory, parse_place
    from pillarbox.lib.store.sql.pool import shared_pool
    from pillarbox.lib.store.sql.postgres import PostgresDatabase
    from pillarbox.lib.store.sql.store import SqlStore

    try:
        database, account = parse_place(place)
        cache = cache_directory(place)
    except ValueError as error:
        raise StoreUnavailable(f"mail location pgsql: {error}") from None
    return SqlStore(f"pgsql:{place}", PostgresDatabase(shared_pool(database), account, cache), quota)


def _imap(place: str, quota: Quota) -> Store:
    del quota
    raise StoreUnavailable(f"the mail of this account is on another server, imap:{place}")


OPENERS: Final[dict[str, Opener]] = {
    "maildir": _maildir,
    "mbox": _mbox,
    "sqlite": _sqlite,
    "pgsql": _pgsql,
    "imap": _imap,
}


_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "mbox": ("mbox.store",),
    "sqlite": ("sql.sqlite", "sql.store"),
    "pgsql": ("sql.place", "sql.pool", "sql.postgres", "sql.store"),
}


FILES: Final = ("maildir", "mbox", "sqlite")
"""Kinds whose stores are files of the account."""


def load(kind: str) -> None:
    """Import what a kind needs."""
    for name in _MODULES.get(kind, ()):
        importlib.import_module(f"pillarbox.lib.store.{name}")
    if kind == "pgsql":
        importlib.import_module("http.client")
        with contextlib.suppress(ImportError):  # opening a store says what to install
            importlib.import_module("pg8000.native")


def open_store(location: str, quota: Quota = FROM_FILE) -> Store:
    """Give access to the account at `location`, as `mail_location` has it with all variables filled in; the place is
    created when first written to.

    `quota` holds for Maildirs and databases.  Raises StoreUnavailable when the location is not of a known kind, or no
    place of that kind.
    """
    kind, _, place = location.partition(":")
    opener = OPENERS.get(kind)
    if opener is None:
        known = ", ".join(f"{each}:" for each in OPENERS)
        raise StoreUnavailable(f'mail location "{kind}:...": one of {known} was expected')
    try:
        return opener(place, quota)
    except ImportError:  # the process has long been confined
        raise StoreUnavailable(f"mail location {kind}: needs a mail_location that names the server") from None


def _absolute(place: str, form: str) -> str:
    if not place.startswith("/"):
        raise StoreUnavailable(f'mail location "{place}": {form} was expected')
    return place
