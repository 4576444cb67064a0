"""Whatever becomes of the file, the service goes on: anew, or by saying that it knows nothing."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.log import log
from pillarbox.reputation import database as module
from pillarbox.reputation.accounts import Accounts, Limits
from pillarbox.reputation.database import ASIDE, NAME, RETRY_AFTER, Database, DatabaseUnavailable
from tests.reputation.scene import Clock, opened
from tests.system.forked import in_child

PUT = "INSERT OR REPLACE INTO correspondents VALUES (?, 1)"
COUNT = "SELECT count(*) FROM correspondents"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    with log.capture() as captured:
        yield captured


def filled(folder: Path, clock: Clock, rows: int = 3) -> None:
    database = opened(folder, clock)
    for number in range(rows):
        database.change(PUT, (f"k{number}",))
    database.close()


def test_changes_are_on_disk_after_a_commit(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    first.change(PUT, ("a",))
    first.commit()
    first.change(PUT, ("b",))
    second = opened(tmp_path, clock)
    assert second.row(COUNT) == (1,)
    second.close()
    first.close()


def test_a_transaction_is_announced_once(tmp_path: Path, clock: Clock) -> None:
    begun: list[int] = []
    database = Database(str(tmp_path), 10_000_000, clock=clock, changed=lambda: begun.append(1))
    for name in "abc":
        database.change(PUT, (name,))
    assert len(begun) == 1
    database.commit()
    database.change(PUT, ("d",))
    assert len(begun) == 2
    database.close()


@pytest.mark.parametrize("junk", [b"no database at all" * 1000, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path, clock: Clock, lines: list[str], junk: bytes) -> None:
    (tmp_path / NAME).write_bytes(junk)
    database = opened(tmp_path, clock)
    assert database.row(COUNT) == (0,)
    database.change(PUT, ("a",))
    database.close()
    if junk:
        assert (tmp_path / ASIDE).read_bytes() == junk
        assert any("it is moved to" in line for line in lines)


def test_a_database_of_another_kind_is_put_aside(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    other = sqlite3.connect(tmp_path / NAME)
    other.execute("CREATE TABLE recipes (name)")
    other.execute("PRAGMA user_version = 77")
    other.commit()
    other.close()
    database = opened(tmp_path, clock)
    assert database.row(COUNT) == (0,)
    assert any("version 77" in line for line in lines)
    database.close()


def test_damage_that_shows_at_start(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    filled(tmp_path, clock, 3000)
    content = bytearray((tmp_path / NAME).read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 64] = b"\xa5" * 64
    (tmp_path / NAME).write_bytes(content)
    database = opened(tmp_path, clock)
    assert database.row(COUNT) == (0,)
    assert (tmp_path / ASIDE).exists()
    database.close()


def test_damage_that_shows_while_it_runs(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    filled(tmp_path, clock, 3000)
    database = opened(tmp_path, clock)
    database.row("PRAGMA shrink_memory")  # what the start has read is not read again else
    with open(tmp_path / NAME, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        for start in range(4096, size, 4096):
            file.seek(start)
            file.write(b"\xa5" * 256)
    assert database.row(COUNT) == (0,), "answered from the new one"
    database.change(PUT, ("a",))
    assert database.row(COUNT) == (1,)
    database.close()


def test_a_database_that_was_deleted_is_begun_anew(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    database = opened(tmp_path, clock)
    database.change(PUT, ("a",))
    database.commit()
    for path in tmp_path.iterdir():
        path.unlink()
    database.change(PUT, ("b",))
    database.commit()
    assert any("was removed" in line for line in lines)
    database.change(PUT, ("c",))
    database.close()
    assert opened(tmp_path, clock).row(COUNT) == (1,)


def test_what_cannot_be_written_says_so_until_it_is_tried_again(
    tmp_path: Path, clock: Clock, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    broken = True

    def maybe(*arguments: object, **named: object) -> sqlite3.Connection:
        if broken:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return connect(*arguments, **named)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(module.sqlite3, "connect", maybe)
    database = opened(tmp_path, clock)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable, match="full"):
            database.row(COUNT)
    assert len(lines) == 1, "said once"
    broken = False
    with pytest.raises(DatabaseUnavailable):
        database.row(COUNT)
    clock.now += RETRY_AFTER
    assert database.row(COUNT) == (0,)
    database.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: writes fail in the same way."""

    def fill() -> list[object]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        clock = Clock()
        said: list[object] = []
        with log.capture() as lines:
            database = opened(tmp_path, clock)
            database.change(PUT, ("before",))
            database.commit()
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
            for attempt in range(3):
                try:
                    database.change(PUT, (f"lost{attempt}",))
                    database.commit()
                except DatabaseUnavailable:
                    said.append("unavailable")
                try:
                    database.row(COUNT)
                except DatabaseUnavailable:
                    said.append("unavailable")
                clock.now += RETRY_AFTER
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            said.append(database.row(COUNT))
            database.change(PUT, ("after",))
            database.close()
            said.append(len(lines))
        said.append(opened(tmp_path, clock).row(COUNT))
        return said

    # The first change is lost with its commit; from then on nothing is promised until it can be written again.
    assert in_child(fill) == [*["unavailable"] * 5, [1], 3, [2]]
    assert not (tmp_path / ASIDE).exists(), "a database that cannot be written is not damaged"


def test_a_directory_that_is_not_there(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    database = opened(tmp_path / "gone", clock)
    with pytest.raises(DatabaseUnavailable):
        database.row(COUNT)
    database.commit()
    database.close()


def test_it_stays_within_its_bound_and_forgets_the_oldest(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    bound = 400_000
    database = opened(tmp_path, clock, bound)
    Accounts(database, clock).submit("ann@here.example", 1, (), Limits(0, 0, 0, 60))
    for number in range(12_000):
        database.change("INSERT INTO triplets VALUES (?, 0, 0, ?)", (f"key-{number:030}", number))
        if number % 100 == 0:
            database.commit()
    database.close()
    assert (tmp_path / NAME).stat().st_size <= bound * 1.13
    assert any("reputation_size_limit" in line for line in lines)
    database = opened(tmp_path, clock, bound)
    assert database.row("SELECT count(*) > 1000, min(expires) > 3000, max(expires) FROM triplets") == (1, 1, 11_999)
    assert len(Accounts(database, clock).states()) == 1, "accounts are not forgotten for lack of room"
    database.close()


def test_the_log_is_copied_while_it_runs(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_PAGES", 10)
    database = opened(tmp_path, clock)
    for number in range(500):
        database.change(PUT, (f"{number:0100}",))
        if number % 50 == 0:
            database.commit()
            if database._checkpointing is not None:
                database._checkpointing.join()
    assert (tmp_path / NAME).stat().st_size > 20 * 4096
    database.close()
