"""The small memories of the auth service: tokens, penalties, verified passwords."""

from __future__ import annotations

import pytest

from pillarbox.auth import penalty, tokens, verified
from pillarbox.auth.penalty import PenaltyTable, network
from pillarbox.auth.tokens import TokenTable
from pillarbox.auth.verified import VerifiedPasswords
from pillarbox.lib.clients.auth import Account
from tests.auth.service import Clock

ANN = Account("ann@example.com", None, None, "/m", "maildir:/m", False)


def test_tokens_differ() -> None:
    table = TokenTable(Clock())
    assert len({table.issue("imap", ANN) for _ in range(100)}) == 100


def test_expired_tokens_do_not_pile_up() -> None:
    clock = Clock()
    table = TokenTable(clock)
    for _ in range(100):
        table.issue("imap", ANN)
        clock.now += 1
    assert len(table) <= tokens.LIFETIME + 1


def test_tokens_have_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LIMIT", 10)
    table = TokenTable(Clock())
    first, *_ = [table.issue("imap", ANN) for _ in range(11)]
    assert len(table) == 10
    assert table.redeem(first, "imap") is None


def test_the_delay_doubles_up_to_its_ceiling() -> None:
    table = PenaltyTable(2.0, Clock())
    assert [table.failed("192.0.2.1") for _ in range(6)] == [2, 4, 8, 15, 15, 15]
    assert table.failed("192.0.2.2") == 2


def test_an_address_starts_anew_after_a_while() -> None:
    clock = Clock()
    table = PenaltyTable(2.0, clock)
    table.failed("192.0.2.1")
    clock.now += penalty.FORGET + 1
    assert table.failed("192.0.2.1") == 2


def test_no_delay_is_no_delay() -> None:
    table = PenaltyTable(0.0, Clock())
    assert [table.failed("192.0.2.1") for _ in range(3)] == [0, 0, 0]


def test_addresses_have_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalty, "LIMIT", 2)
    table = PenaltyTable(2.0, Clock())
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        table.failed(address)
    assert table.failed("192.0.2.3") == 4
    assert table.failed("192.0.2.1") == 2


def test_ipv6_neighbours_count_together() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == "192.0.2.1"
    assert network("unknown") == "unknown"


def test_a_verified_password_is_known_for_its_time() -> None:
    clock = Clock()
    cache = VerifiedPasswords(60.0, clock)
    cache.remember("ann", "pw", "hash")
    assert cache.knows("ann", "pw", "hash")
    assert not cache.knows("ann", "other", "hash")
    assert not cache.knows("ann", "pw", "other hash")
    assert not cache.knows("bob", "pw", "hash")
    clock.now += 60
    assert not cache.knows("ann", "pw", "hash")


def test_password_and_hash_are_told_apart() -> None:
    cache = VerifiedPasswords(60.0, Clock())
    cache.remember("ann", "ab", "c")
    assert not cache.knows("ann", "a", "bc")


def test_nothing_is_remembered_when_switched_off() -> None:
    cache = VerifiedPasswords(0.0, Clock())
    cache.remember("ann", "pw", "hash")
    assert not cache.knows("ann", "pw", "hash")


def test_verified_passwords_have_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "LIMIT", 1)
    cache = VerifiedPasswords(60.0, Clock())
    cache.remember("ann", "pw", "hash")
    cache.remember("bob", "pw", "hash")
    assert not cache.knows("ann", "pw", "hash")
    assert cache.knows("bob", "pw", "hash")
