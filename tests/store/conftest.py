"""One account of each kind, for the tests that hold for every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import Store
from pillarbox.lib.store.sql.database import Database
from pillarbox.lib.store.sql.sqlite import SqliteDatabase

KINDS = ("maildir", "mbox", "sqlite")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def location(kind: str, folder: Path) -> str:
    """An account of a kind, with all that it has below `folder`."""
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
    return SqliteDatabase(f"{folder}/mail.sqlite")


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Iterator[Store]:
    account = reopen()
    yield account
    account.close()
