"""Dot locks: whose are broken, and when."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from pillarbox.lib.store import locks, open_store
from pillarbox.lib.store.locks import STALE_AFTER, dot_lock, try_dot_lock

HOST = os.uname().nodename


def left(path: Path, holder: str, age: float) -> str:
    """A lock as somebody made it `age` seconds ago."""
    path.write_text(holder)
    os.utime(path, (time.time() - age,) * 2)
    return str(path)


@pytest.mark.parametrize(("age", "broken"), [(STALE_AFTER - 60, False), (STALE_AFTER + 60, True)])
def test_a_lock_of_another_machine_is_broken_when_it_is_old(tmp_path: Path, age: float, broken: bool) -> None:
    assert try_dot_lock(left(tmp_path / "x.lock", "1:elsewhere", age), STALE_AFTER) is broken


def test_a_lock_of_a_dead_process_is_broken_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert try_dot_lock(left(tmp_path / "x.lock", f"{child.pid}:{HOST}\n", 0), STALE_AFTER)


def test_a_process_that_lives_keeps_its_lock_through_long_work(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    with dot_lock(path):
        os.utime(path, (time.time() - STALE_AFTER - 60,) * 2)
        assert not try_dot_lock(path, STALE_AFTER), "two would give the same UIDs"
        os.utime(path, (time.time() - 11 * STALE_AFTER,) * 2)
        assert try_dot_lock(path, STALE_AFTER), "a dead one's number, which another has now"


def test_what_who_died_while_locking_left_behind_is_no_mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"mbox:{tmp_path}/mail")
    store.create("Folder")
    monkeypatch.setattr(locks, "release_dot_lock", lambda path: None)
    assert locks.try_dot_lock(f"{tmp_path}/mail/Folder.lock", 60.0)
    assert len(os.listdir(tmp_path / "mail")) >= 3
    assert [entry.name for entry in store.list()] == ["INBOX", "Folder"]
