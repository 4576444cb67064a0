"""One account of each kind, for the tests that hold for every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import Store
from pillarbox.lib.store.sql.database import Database
from pillarbox.lib.store.sql.place import parse_place
from pillarbox.lib.store.sql.pool import pools, shared_pool
from pillarbox.lib.store.sql.postgres import PostgresDatabase
from pillarbox.lib.store.sql.sqlite import SqliteDatabase
from tests.peers.databases import PostgreSQL
from tests.peers.object_storage import Swift

KINDS = ("maildir", "mbox", "sqlite", "pgsql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests here, each with accounts of its own in one database."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def swift() -> Iterator[Swift]:
    """One server of objects, with the bucket `mail`."""
    with Swift() as server:
        server.make_bucket("mail")
        yield server


def uri(server: PostgreSQL, database: str = "postgres") -> str:
    """A database of it, by its UNIX socket."""
    return (
        f"postgresql://{server.user}:{quote(server.password, safe='')}@/{database}?host={server.directory}"
        f"&port={server.port}"
    )


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "pgsql":
        use_postgresql(request.getfixturevalue("postgresql"))
    yield str(request.param)
    close_pools()


_place: list[str] = []


def use_postgresql(server: PostgreSQL, settings: str = "", database: str = "postgres") -> None:
    """What `location` and `sql_database` mean by pgsql from now on; `settings` are more of a location's."""
    _place[:] = [uri(server, database) + settings]


def object_settings(server: Swift, keyfile: Path, bucket: str = "mail") -> str:
    """The part of a location that puts bodies there."""
    url = quote(server.url(bucket), safe="")
    return f"&objects={url}&objectsfile={server.keyfile(keyfile)}&objectsregion={server.region}"


def close_pools() -> None:
    """End the connections of this process."""
    for pool in list(pools.values()):
        pool.close()
    pools.clear()


def location(kind: str, folder: Path) -> str:
    """An account of a kind, with all that it has below `folder`."""
    if kind == "pgsql":
        return f"pgsql:{_place[0]}&cache={folder}#{folder}"
    return f"sqlite:{folder}/mail.sqlite" if kind == "sqlite" else f"{kind}:{folder}"


@pytest.fixture
def reopen(kind: str, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the account anew, as another process would."""
    opened: list[Store] = []

    def open_again() -> Store:
        opened.append(open_store(location(kind, tmp_path / "mail")))
        return opened[-1]

    yield open_again
    for each in opened:
        each.close()


def sql_database(kind: str, folder: Path) -> Database:
    """A connection of its own to an account in a database of a kind."""
    if kind == "sqlite":
        return SqliteDatabase(f"{folder}/mail.sqlite")
    place, account = parse_place(f"{_place[0]}#{folder}")
    return PostgresDatabase(shared_pool(place), account)


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Iterator[Store]:
    account = reopen()
    yield account
    account.close()
