"""Foreign domains cost no question, and a new account is seen at once all the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.clients.auth import AuthClient
from pillarbox.lookup import account_domains
from pillarbox.lookup.account_domains import AccountDomains

PAGE = 2


class Auth:
    """The auth service's answers, from a real database."""

    def __init__(self, database: AccountDatabase) -> None:
        self.database = database
        self.questions = 0

    def domain(self, domain: str) -> bool:
        self.questions += 1
        return self.database.has_domain(domain)

    def domains(self, after: str = "") -> tuple[str, ...]:
        self.questions += 1
        return tuple(self.database.domains(after, PAGE))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "accounts.sqlite")
        self.database = AccountDatabase.open(self.path, create=True)
        self.auth = Auth(self.database)
        self.now = os.stat(self.path).st_mtime + 60
        self.domains = AccountDomains(self.path, cast(AuthClient, self.auth), lambda: self.now)

    def has(self, domain: str) -> bool:
        found = self.domains.has(domain)
        return self.domains.ask(domain) if found is None else found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for number in range(5):
        made.database.add(f"u@d{number}.example", "secret-123")
    made.now = os.stat(made.path).st_mtime + 60
    return made


def test_many_foreign_domains_cost_the_questions_of_one(bench: Bench) -> None:
    assert not bench.has("f0.example")
    first = bench.auth.questions
    assert not any(bench.has(f"f{number}.example") for number in range(100))
    assert all(bench.has(f"d{number}.example") for number in range(5))
    assert bench.has("D3.Example")
    assert bench.auth.questions == first


def test_a_new_domain_is_seen_at_once(bench: Bench) -> None:
    assert not bench.has("new.example")
    bench.database.add("ann@new.example", "secret-123")
    assert bench.has("new.example")
    bench.now += 60
    assert bench.has("new.example")
    bench.database.delete("ann@new.example")
    assert not bench.has("new.example")


def test_a_file_that_was_written_to_just_now_is_asked_about_each_time(bench: Bench) -> None:
    """A further change would not show in its time."""
    bench.now = os.stat(bench.path).st_mtime + account_domains.SETTLED / 2
    assert not bench.has("new.example")
    before = os.stat(bench.path)
    bench.database.add("ann@new.example", "secret-123")
    os.utime(bench.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert bench.has("new.example")


def test_too_many_domains_are_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_domains, "LIMIT", 3)
    assert bench.has("d1.example")
    assert not bench.has("f1.example")
    assert bench.domains.has("d1.example") is None
    asked = bench.auth.questions
    assert not bench.has("f2.example")
    assert bench.auth.questions == asked + 1, "the list was asked for again"


def test_without_the_file_each_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    blind = AccountDomains(str(tmp_path / "none"), cast(AuthClient, bench.auth))
    assert blind.ask("d1.example")
    assert not blind.ask("f1.example")
    assert blind.has("f1.example") is None
