"""The least time between two logins of one user."""

from __future__ import annotations

import pytest

from pillarbox.auth import delay
from pillarbox.auth.delay import LoginDelay
from tests.auth.service import Clock


def test_a_user_has_to_wait() -> None:
    clock = Clock()
    logins = LoginDelay(60, clock)
    assert logins.permits("ann")
    assert logins.permits("bob")
    clock.now += 59
    assert not logins.permits("ann"), "and to try does not make it longer"
    clock.now += 1
    assert logins.permits("ann")
    assert not logins.permits("ann")


def test_without_a_delay_nobody_waits() -> None:
    logins = LoginDelay(0, Clock())
    assert all(logins.permits("ann") for _ in range(3))


def test_it_does_not_grow_with_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delay, "MOST", 10)
    logins = LoginDelay(60, Clock())
    assert all(logins.permits(f"user{number}") for number in range(100))
    assert len(logins._last) <= 10
