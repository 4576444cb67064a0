"""How much processor time users' scripts may take over several messages."""

from __future__ import annotations

from pillarbox.lib.sieve_box.usage import MOST_USERS, Usage


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


def test_slow_runs_add_up_to_the_limit_of_one() -> None:
    usage = Usage(5, 600, Clock())
    for seconds in (2.0, 2.0, 0.9):
        usage.add("ann", seconds)
        assert not usage.used_up("ann")
    usage.add("ann", 0.6)
    assert usage.used_up("ann") and not usage.used_up("bob")


def test_what_scripts_usually_take_is_not_counted() -> None:
    usage = Usage(5, 600, Clock())
    for _ in range(1000):
        usage.add("ann", 0.4)
    assert not usage.used_up("ann")


def test_after_a_rest_it_is_forgotten_and_not_before() -> None:
    clock = Clock()
    usage = Usage(5, 600, clock)
    usage.add("ann", 3)
    clock.now += 599
    usage.add("ann", 3)
    clock.now += 599
    assert usage.used_up("ann")
    clock.now += 1
    assert not usage.used_up("ann")
    usage.add("ann", 3)
    assert not usage.used_up("ann")


def test_a_clock_that_is_set_back_ends_the_rest() -> None:
    clock = Clock()
    usage = Usage(5, 600, clock)
    usage.add("ann", 5)
    clock.now -= 3600
    assert not usage.used_up("ann")


def test_without_a_limit_nothing_is_counted() -> None:
    for limit, timeout in ((0, 600), (5, 0)):
        usage = Usage(limit, timeout, Clock())
        usage.add("ann", 100)
        assert not usage.used_up("ann")


def test_of_too_many_users_the_quietest_is_forgotten() -> None:
    clock = Clock()
    usage = Usage(5, 600, clock)
    for number in range(MOST_USERS):
        usage.add(f"user{number}", 5)
    usage.add("user0", 1)
    usage.add("one more", 5)
    assert not usage.used_up("user1")
    assert usage.used_up("user0") and usage.used_up("user2") and usage.used_up("one more")
    assert len(usage._taken) == MOST_USERS
