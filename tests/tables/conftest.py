"""Fixtures of several files here."""

from __future__ import annotations

import pytest

from tests.tables.foreign import Postmap, foreign_postmap


@pytest.fixture(scope="session")
def postmap(tmp_path_factory: pytest.TempPathFactory) -> Postmap:
    """Runs the foreign postmap: (status, output)."""
    return foreign_postmap(tmp_path_factory.mktemp("config"))
