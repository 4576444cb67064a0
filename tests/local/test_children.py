"""The pool of children: who waits for more work, for how long, and how many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.process.children import IDLE_TIME
from pillarbox.local import children as module
from pillarbox.local.children import Children
from pillarbox.local.steps import Message, Report
from pillarbox.local.users import User

MESSAGE = Message("id", "s@x", "r@x", "", 0.0, 1, 0, 0)


class Fake:
    """A child that does every job at once."""

    made: list[Fake]

    def __init__(self, begin: object) -> None:
        self.pid = 0
        self.idle_since = 0.0
        self.jobs = 0
        self.failed = ""
        self.closed = False
        self.made.append(self)

    async def call(self, *_: object) -> Report:
        return Report()

    def close(self) -> None:
        self.closed = True

    def reaped(self) -> bool:
        return self.closed


class Pool:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        Fake.made = []
        monkeypatch.setattr(module, "Child", Fake)
        self.now = 0.0
        self.children = Children(Config.for_tests(local_concurrency_limit=str(limit)), lambda: self.now)

    def jobs(self, *uids: int, **more: Any) -> int:
        """How many children these jobs, one after the other, made."""

        async def run() -> None:
            for uid in uids:
                user = User(f"u{uid}", uid, uid, more.get("home", "/"), "/bin/sh")
                await self.children.deliverer(user, {"do": "user"}, MESSAGE)
            self.children._sweep()
            if self.children._sweeping is not None:
                self.children._sweeping.cancel()
            self.children._sweeping = None

        before = len(Fake.made)
        asyncio.run(run())
        return len(Fake.made) - before

    def alive(self) -> int:
        return sum(not child.closed for child in Fake.made)


def test_a_child_serves_its_user_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(monkeypatch, 10)
    assert pool.jobs(1, 1, 2, 1) == 2
    assert pool.alive() == 2


def test_a_user_who_moved_gets_another_child(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(monkeypatch, 10)
    assert pool.jobs(1) == 1
    assert pool.jobs(1, home="/elsewhere") == 1


def test_of_too_many_those_end_that_have_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(monkeypatch, 3)
    assert pool.jobs(1, 2, 3, 1, 4, 5) == 5
    assert pool.alive() == 3
    assert pool.jobs(1, 4, 5) == 0
    assert pool.jobs(2) == 1


def test_after_a_while_all_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(monkeypatch, 3)
    pool.jobs(1, 2)
    pool.now = IDLE_TIME + 1
    pool.jobs(3)
    assert pool.alive() == 1
    pool.children.close()
    assert pool.alive() == 0
    assert pool.jobs(4, 5, 6, 7) == 4
    assert pool.alive() == 3
