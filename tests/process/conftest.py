"""Worker processes of these tests do their housekeeping ten times a second, so that nothing is waited for long."""

from __future__ import annotations

import pytest

from pillarbox.lib.process import events, rounds


@pytest.fixture(autouse=True)
def quick_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (events, rounds):
        monkeypatch.setattr(module, "TICK", 0.1)
