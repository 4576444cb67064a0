"""One account of each kind, for the tests that hold for every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import Store

KINDS = ("maildir", "mbox")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reopen(kind: str, tmp_path: Path) -> Callable[[], Store]:
    """Opens the account anew, as another process would."""
    return lambda: open_store(f"{kind}:{tmp_path}/mail")


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Iterator[Store]:
    account = reopen()
    yield account
    account.close()
