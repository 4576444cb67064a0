"""Lock-outs: who is kept out, for how long, and whom strangers cannot keep out."""

from __future__ import annotations

import pytest

from pillarbox.auth import lockout
from pillarbox.auth.lockout import LockoutRules, Lockouts
from pillarbox.lib.smtp.networks import Networks
from tests.auth.service import Clock

RULES = LockoutRules(
    network_limit=3, account_limit=5, time=60.0, most=200.0, window=3600.0, exempt=Networks(("127.0.0.0/8",))
)
ANN = "ann@example.com"


def made(clock: Clock | None = None, rules: LockoutRules = RULES) -> Lockouts:
    return Lockouts(rules, clock or Clock())


def fail(lockouts: Lockouts, address: str, account: str = ANN, *, known: bool = False, times: int = 1) -> list[str]:
    lines: list[str] = []
    for _ in range(times):
        lines += lockouts.failed(lockouts.attempt(address, account, known))[1]
    return lines


def wait(lockouts: Lockouts, address: str, account: str = ANN, *, known: bool = False) -> float:
    return lockouts.wait(lockouts.attempt(address, account, known))


def test_an_address_is_locked_out_for_all_accounts_and_the_log_says_so() -> None:
    lockouts = made()
    assert fail(lockouts, "192.0.2.1", times=2) == []
    assert wait(lockouts, "192.0.2.1") == 0
    assert fail(lockouts, "192.0.2.1", "bob@example.com") == ["192.0.2.1 is locked out for 60s: too many failed logins"]
    assert wait(lockouts, "192.0.2.1", "carol@example.com") == 60
    assert wait(lockouts, "192.0.2.2") == 0


def test_neighbours_in_an_ipv6_network_count_together() -> None:
    lockouts = made()
    for host in range(3):
        fail(lockouts, f"2001:db8::{host + 1}")
    assert wait(lockouts, "2001:db8::ffff") == 60
    assert wait(lockouts, "2001:db8:0:1::1") == 0


def test_each_lock_is_twice_as_long_up_to_the_most() -> None:
    clock = Clock()
    lockouts = made(clock)
    durations = []
    for _ in range(4):
        fail(lockouts, "192.0.2.1", times=3)
        durations.append(wait(lockouts, "192.0.2.1"))
        clock.now += durations[-1]
        assert wait(lockouts, "192.0.2.1") == 0
    assert durations == [60, 120, 200, 200]


def test_after_a_long_quiet_it_begins_anew() -> None:
    clock = Clock()
    lockouts = made(clock)
    fail(lockouts, "192.0.2.1", times=3)
    clock.now += 60 + 401
    fail(lockouts, "192.0.2.1", times=3)
    assert wait(lockouts, "192.0.2.1") == 60


def test_failures_far_apart_do_not_add_up() -> None:
    clock = Clock()
    lockouts = made(clock)
    for _ in range(10):
        fail(lockouts, "192.0.2.1")
        clock.now += 3601
    assert wait(lockouts, "192.0.2.1") == 0


def test_an_account_hammered_from_many_places_is_locked_for_strangers_only() -> None:
    """The owner, at a place that the account has logged in from, is not kept out by them."""
    lockouts = made()
    lines = [line for number in range(5) for line in fail(lockouts, f"192.0.2.{number}")]
    assert lines == [
        f"{ANN}, for networks that it has never logged in from, is locked out for 60s: too many failed logins"
    ]
    assert wait(lockouts, "198.51.100.1") == 60
    assert wait(lockouts, "198.51.100.1", "bob@example.com") == 0
    assert wait(lockouts, "203.0.113.1", known=True) == 0


def test_a_stranger_behind_the_owners_address_does_not_lock_the_owner_out() -> None:
    lockouts = made()
    fail(lockouts, "192.0.2.1", "bob@example.com", times=3)
    assert wait(lockouts, "192.0.2.1", "carol@example.com") == 60
    assert wait(lockouts, "192.0.2.1", ANN, known=True) == 0


def test_guesses_at_an_account_from_a_known_place_are_counted_too() -> None:
    lockouts = made()
    assert fail(lockouts, "192.0.2.1", known=True, times=3) == [
        f"{ANN} from 192.0.2.1 is locked out for 60s: too many failed logins"
    ]
    assert wait(lockouts, "192.0.2.1", known=True) == 60
    assert wait(lockouts, "192.0.2.2", known=True) == 0, "the owner's other place"


def test_a_success_clears_the_pair_and_nothing_else() -> None:
    lockouts = made()
    fail(lockouts, "192.0.2.1", known=True, times=2)
    lockouts.succeeded(lockouts.attempt("192.0.2.1", ANN, known=True))
    fail(lockouts, "192.0.2.1", known=True, times=2)
    assert wait(lockouts, "192.0.2.1", known=True) == 0
    fail(lockouts, "192.0.2.9", "bob@example.com", times=2)
    lockouts.succeeded(lockouts.attempt("192.0.2.9", ANN, known=False))
    fail(lockouts, "192.0.2.9", "bob@example.com")
    assert wait(lockouts, "192.0.2.9") == 60, "an account of one's own gives no fresh start to guess at others"


def test_the_same_wrong_password_is_one_guess() -> None:
    lockouts = made()
    attempt = lockouts.attempt("192.0.2.1", ANN, known=False)
    assert [lockouts.failed(attempt, "old")[0] for _ in range(10)] == [True] + [False] * 9
    assert lockouts.wait(attempt) == 0
    for password in ("a", "b"):
        lockouts.failed(attempt, password)
    assert lockouts.wait(attempt) == 60
    other = lockouts.attempt("192.0.2.1", "bob@example.com", known=False)
    assert lockouts.failed(other, "old")[0], "the same password at another account is another guess"


def test_many_webmail_users_do_not_lock_each_other_out() -> None:
    lockouts = made()
    fail(lockouts, "127.0.0.1", times=4)
    assert wait(lockouts, "127.0.0.1", "bob@example.com") == 0
    fail(lockouts, "127.0.0.1")
    assert wait(lockouts, "127.0.0.1") == 60, "but the account is"


def test_as_many_at_once_as_may_fail() -> None:
    """Guesses that are sent together, before the first has failed, are not all tried."""
    lockouts = made()
    fail(lockouts, "192.0.2.1")
    attempts = [lockouts.attempt("192.0.2.1", ANN, known=False) for _ in range(5)]
    tried = 0
    for attempt in attempts:
        if not lockouts.wait(attempt):
            lockouts.begin(attempt)
            tried += 1
    assert tried == 2
    for attempt in attempts[:2]:
        lockouts.end(attempt)
    assert lockouts.wait(attempts[0]) == 0


def test_zero_means_never() -> None:
    lockouts = made(rules=LockoutRules(0, 0, 60.0, 200.0, 3600.0, Networks(())))
    assert fail(lockouts, "192.0.2.1", times=1000) == []
    assert wait(lockouts, "192.0.2.1") == 0


def test_what_is_remembered_has_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "LIMIT", 2)
    lockouts = made()
    fail(lockouts, "192.0.2.1", times=2)
    for number in range(10):
        lockouts.failed(lockouts.attempt(f"198.51.100.{number}", f"u{number}@example.com", known=False), "pw")
    fail(lockouts, "192.0.2.1")
    assert wait(lockouts, "192.0.2.1") == 0, "forgotten in between"
    assert len(lockouts._guesses) <= 2
