"""What an account sends is counted; over a limit it is braked until a person lets it go."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.reputation.accounts import LEASE, MEMORY, Accounts, Limits
from pillarbox.reputation.database import Database
from pillarbox.reputation.sweep import sweep
from tests.reputation.scene import Clock, opened

DAY = 86400
LIMITS = Limits(messages=3, recipients=10, new_recipients=5, period=DAY)
ANN = "ann@here.example"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Database:
    return opened(tmp_path, clock)


@pytest.fixture
def accounts(database: Database, clock: Clock) -> Accounts:
    return Accounts(database, clock)


def test_within_the_limits_nothing_happens(accounts: Accounts) -> None:
    for _ in range(3):
        outcome = accounts.submit(ANN, 1, ("a", "b"), LIMITS)
        assert (outcome.state.braked, outcome.tell) == (0, False)
    assert (outcome.state.messages, outcome.state.recipients, outcome.state.new_recipients) == (3, 6, 2)


def test_one_message_too_many_brakes_and_is_told_once(accounts: Accounts, clock: Clock) -> None:
    for _ in range(3):
        accounts.submit(ANN, 1, ("a",), LIMITS)
    over = accounts.submit(ANN, 1, ("a",), LIMITS)
    assert over.state.braked == int(clock.now)
    assert over.state.reason == "4 messages within 1 day, 3 are allowed"
    assert over.tell
    accounts.told(ANN)
    clock.now += LEASE + 1
    later = accounts.submit(ANN, 1, ("a",), LIMITS)
    assert later.state.braked and not later.tell
    assert later.state.reason == over.state.reason


def test_it_is_told_again_where_nobody_confirmed_it(accounts: Accounts, clock: Clock) -> None:
    for _ in range(4):
        accounts.submit(ANN, 1, ("a",), LIMITS)
    assert not accounts.submit(ANN, 1, ("a",), LIMITS).tell, "another process is at it"
    clock.now += LEASE
    assert accounts.submit(ANN, 1, ("a",), LIMITS).tell


def test_too_many_recipients(accounts: Accounts) -> None:
    state = accounts.submit(ANN, 1, ("a", "b", "c", "d", "e"), LIMITS).state
    assert not state.braked
    assert not accounts.submit(ANN, 1, ("a", "b", "c", "d", "e"), LIMITS).state.braked
    assert accounts.submit(ANN, 1, ("a",), LIMITS).state.reason == "11 recipients within 1 day, 10 are allowed"


def test_too_many_strangers(accounts: Accounts) -> None:
    limits = Limits(0, 0, 5, DAY)
    assert not accounts.submit(ANN, 1, ("a", "b", "c", "d", "e"), limits).state.braked
    assert not accounts.submit(ANN, 1, ("a", "b", "c", "d", "e"), limits).state.braked, "they are known now"
    state = accounts.submit(ANN, 1, ("f",), limits).state
    assert state.reason == "6 recipients that it had never written to before within 1 day, 5 are allowed"


def test_whom_an_account_has_written_to_is_no_stranger_later(accounts: Accounts, clock: Clock) -> None:
    limits = Limits(0, 0, 1, DAY)
    accounts.submit(ANN, 1, ("a",), limits)
    clock.now += 100 * DAY
    assert accounts.submit(ANN, 1, ("a",), limits).state.new_recipients == 0
    clock.now += 100 * DAY
    assert accounts.submit(ANN, 1, ("a",), limits).state.new_recipients == 0, "use has renewed it"
    clock.now += MEMORY + DAY
    assert accounts.submit(ANN, 1, ("a",), limits).state.new_recipients == 1
    assert accounts.submit("bob@here.example", 1, ("a",), limits).state.new_recipients == 1, "each account for itself"


def test_counts_begin_anew_with_the_next_unit_of_time(accounts: Accounts, clock: Clock) -> None:
    for _ in range(3):
        accounts.submit(ANN, 1, (), LIMITS)
    clock.now += DAY
    assert accounts.submit(ANN, 1, (), LIMITS).state.messages == 1


def test_a_brake_does_not_wear_off(accounts: Accounts, database: Database, clock: Clock) -> None:
    for _ in range(4):
        accounts.submit(ANN, 1, (), LIMITS)
    clock.now += 1000 * DAY
    list(sweep(database, int(clock.now)))
    assert accounts.submit(ANN, 1, (), LIMITS).state.braked


def test_a_released_account_begins_anew(accounts: Accounts) -> None:
    for _ in range(4):
        accounts.submit(ANN, 1, (), LIMITS)
    state = accounts.release(ANN)
    assert state is not None and state.braked
    assert accounts.submit(ANN, 1, (), LIMITS).state.messages == 1
    assert accounts.release("nobody@here.example") is None


def test_counts_and_brake_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    for _ in range(4):
        Accounts(first, clock).submit(ANN, 1, ("a",), LIMITS)
    # The process is killed: nothing is committed any more.
    second = opened(tmp_path, clock)
    (state,) = Accounts(second, clock).states()
    assert (state.account, state.messages, state.reason) == (ANN, 4, "4 messages within 1 day, 3 are allowed")
    second.close()
    first.close()


def test_braked_accounts_come_first(accounts: Accounts) -> None:
    accounts.submit(ANN, 1, (), LIMITS)
    for _ in range(4):
        accounts.submit("zoe@here.example", 1, (), LIMITS)
    assert [state.account for state in accounts.states()] == ["zoe@here.example", ANN]


def test_limits_of_zero_limit_nothing(accounts: Accounts) -> None:
    for _ in range(100):
        assert not accounts.submit(ANN, 1, ("a", "b"), Limits(0, 0, 0, DAY)).state.braked
