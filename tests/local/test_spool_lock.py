"""A mailbox in a spool where only root may make files has its dot lock: the parent holds it while the user's process
writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pillarbox.lib.store import locks
from pillarbox.lib.store.locks import dot_lock
from pillarbox.local import spool_file
from tests.local.conftest import FIRST_UID, House, needs_root

pytestmark = needs_root


@pytest.fixture
def spool(house: House) -> Path:
    house.spool.chmod(0o755)
    return house.spool


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """The locks that this process, the parent, makes, and the size of the mailbox when each is given up."""
    seen: list[tuple[str, int]] = []
    real = spool_file.release_dot_lock

    def release(path: str) -> None:
        seen.append((path, os.path.getsize(path.removesuffix(".lock"))))
        assert os.path.exists(path), "it was held until now"
        real(path)

    monkeypatch.setattr(spool_file, "release_dot_lock", release)
    yield seen


def one(house: House, address: str) -> tuple[str, str, str]:
    (result,) = house.deliver(address)
    return result.status, result.dsn, result.text


def test_the_lock_is_held_while_the_message_is_written(
    house: House, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(monkeypatch) as seen:
        assert one(house, "ann@example.com")[2] == "delivered to mailbox"
    assert seen == [(f"{spool}/ann.lock", (spool / "ann").stat().st_size)]
    assert [path.name for path in spool.iterdir()] == ["ann"], "nothing is left"
    assert (spool / "ann").stat().st_uid == FIRST_UID


def test_where_the_user_may_make_it_the_parent_does_not(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.spool.chmod(0o1777)
    with watched(monkeypatch) as seen:
        assert one(house, "ann@example.com")[2] == "delivered to mailbox"
    assert seen == []


def test_another_programs_lock_is_waited_for_and_then_the_mail_waits(house: House, spool: Path) -> None:
    house.options |= {"deliver_lock_attempts": "1", "deliver_lock_delay": "1s"}
    with dot_lock(f"{spool}/ann.lock"):
        status, dsn, text = one(house, "ann@example.com")
    assert (status, dsn) == ("deferred", "4.2.0")
    assert "ann.lock is held by another process" in text
    assert (spool / "ann").stat().st_size == 0


def test_a_lock_that_is_given_up_in_time_delays_the_mail_only(house: House, spool: Path) -> None:
    lock = dot_lock(f"{spool}/ann.lock")
    lock.__enter__()
    threading.Timer(0.2, lambda: lock.__exit__(None, None, None)).start()
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


def test_a_dead_programs_lock_is_no_lock(house: House, spool: Path) -> None:
    (spool / "ann.lock").write_text(f"999999999:{os.uname().nodename}\n")
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


def test_no_dot_lock_where_none_is_wanted(house: House, spool: Path) -> None:
    house.options["mailbox_delivery_lock"] = "fcntl"
    (spool / "ann.lock").write_text("")
    assert one(house, "ann@example.com")[2] == "delivered to mailbox"


@pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
def test_the_parent_writes_into_nothing_that_stands_in_the_locks_place(
    house: House, spool: Path, make: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = house.path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(locks, "_numbers", iter(range(1000)))
    names = [f"ann.lock.{os.uname().nodename}.{os.getpid()}.{number}.lock" for number in range(3)]
    for name in names:
        getattr(spool / name, make)(victim)
    house.options |= {"deliver_lock_attempts": "1", "deliver_lock_delay": "1s"}
    assert one(house, "ann@example.com")[0] == "sent"
    assert victim.read_text() == "precious"
    assert all((spool / name).exists() for name in names), "what is someone else's is left alone"
