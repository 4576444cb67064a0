"""Who waits and for how long, over weeks of a clock that is moved by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.reputation.database import Database
from pillarbox.reputation.greylist import Greylist, Policy, Verdict
from pillarbox.reputation.sweep import sweep
from tests.reputation.scene import Clock, opened

DAY = 86400
POLICY = Policy(delay=300, window=2 * DAY, lifetime=35 * DAY, clients=3)
NET = "192.0.2.0/24"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Database:
    return opened(tmp_path, clock)


@pytest.fixture
def greylist(database: Database, clock: Clock) -> Greylist:
    return Greylist(database, clock)


def offer(greylist: Greylist, triplet: str = "t", network: str = NET, sender: str = "s") -> Verdict:
    return greylist.ask(network, triplet, sender, POLICY)


def test_a_new_triplet_waits_and_passes_when_it_comes_back(greylist: Greylist, clock: Clock) -> None:
    assert offer(greylist) == Verdict(300, "new")
    clock.now += 100
    assert offer(greylist) == Verdict(200, "early")
    clock.now += 199
    assert offer(greylist) == Verdict(1, "early"), "an early attempt does not make the wait longer"
    clock.now += 1
    assert offer(greylist) == Verdict(0, "passed", 300)
    assert offer(greylist) == Verdict(0, "known")


def test_who_comes_back_after_the_window_begins_anew(greylist: Greylist, clock: Clock) -> None:
    offer(greylist)
    clock.now += 2 * DAY
    assert offer(greylist) == Verdict(300, "new")


def test_a_known_triplet_is_kept_while_it_is_used(greylist: Greylist, clock: Clock) -> None:
    offer(greylist)
    clock.now += 301
    offer(greylist)
    for _ in range(5):
        clock.now += 34 * DAY
        assert offer(greylist).why == "known"
    clock.now += 35 * DAY
    assert offer(greylist).why == "new"


def test_a_network_that_comes_back_as_a_rule_waits_no_more(greylist: Greylist, clock: Clock) -> None:
    for name in "abc":
        assert offer(greylist, name).why == "new"
    clock.now += 300
    for name in "abc":
        assert offer(greylist, name).why == "passed"
    assert offer(greylist, "d") == Verdict(0, "client")
    assert offer(greylist, "d", "198.51.100.0/24").why == "new"
    clock.now += 34 * DAY
    assert offer(greylist, "e").why == "client"
    clock.now += 34 * DAY
    assert offer(greylist, "f").why == "client", "use has renewed it"
    clock.now += 36 * DAY
    assert offer(greylist, "g").why == "new"


def test_repetitions_of_one_triplet_do_not_make_a_network_known(greylist: Greylist, clock: Clock) -> None:
    offer(greylist)
    clock.now += 300
    for _ in range(10):
        offer(greylist)
    assert offer(greylist, "other").why == "new"


def test_without_a_number_no_network_becomes_known(greylist: Greylist, clock: Clock) -> None:
    policy = Policy(300, 2 * DAY, 35 * DAY, 0)
    for name in "abcdef":
        greylist.ask(NET, name, "s", policy)
    clock.now += 300
    for name in "abcdef":
        greylist.ask(NET, name, "s", policy)
    assert greylist.ask(NET, "g", "s", policy).why == "new"


def test_whom_a_local_user_has_written_to_does_not_wait(greylist: Greylist, clock: Clock) -> None:
    greylist.written(("friend",), 60 * DAY)
    assert offer(greylist, sender="friend") == Verdict(0, "correspondent")
    assert offer(greylist, sender="stranger").why == "new"
    clock.now += 60 * DAY
    assert offer(greylist, "u", sender="friend").why == "new"


def test_a_delay_of_zero_lets_everything_pass(greylist: Greylist) -> None:
    assert greylist.ask(NET, "t", "s", Policy(0, DAY, DAY, 0)).wait == 0


def test_it_is_remembered_by_the_next_process(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    Greylist(first, clock).ask(NET, "t", "s", POLICY)
    first.close()
    clock.now += 300
    second = opened(tmp_path, clock)
    assert Greylist(second, clock).ask(NET, "t", "s", POLICY) == Verdict(0, "passed", 300)
    second.close()


def test_what_has_expired_is_swept_and_nothing_else(greylist: Greylist, database: Database, clock: Clock) -> None:
    for number in range(1200):
        offer(greylist, f"t{number}")
    clock.now += 300
    offer(greylist, "t7")
    clock.now += 2 * DAY
    assert sum(sweep(database, int(clock.now))) == 1199
    assert database.rows("SELECT key FROM triplets") == [("t7",)]
