"""A file that is kept across restarts: damaged, not writable, full, locked, killed in the middle."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.process.kept_file import RETRY_AFTER, KeptFile

SCHEMA = "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(directory: Path, clock: Clock | None = None) -> KeptFile:
    return KeptFile(str(directory), "notes.sqlite", SCHEMA, clock=clock or Clock())


def add(kept: KeptFile, text: str) -> bool:
    return kept.do("INSERT INTO note (text) VALUES (?)", text)


def texts(kept: KeptFile) -> list[str]:
    return [row[0] for row in kept.rows("SELECT text FROM note ORDER BY id")]


def test_it_keeps(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    assert add(kept, "a")
    kept.close()
    assert texts(opened(tmp_path)) == ["a"]
    assert kept.size > 0


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    kept = opened(tmp_path)

    def two(connection: sqlite3.Connection) -> bool:
        connection.execute("INSERT INTO note (text) VALUES ('a')")
        connection.execute("INSERT INTO note (text) VALUES (NULL)")
        return True

    with log.capture():
        assert kept.work(two, False) is False
    assert texts(opened(tmp_path)) == []


def test_a_fault_of_ours_changes_nothing_and_is_seen(tmp_path: Path) -> None:
    kept = opened(tmp_path)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note (text) VALUES ('a')")
        raise RuntimeError("oh")

    with pytest.raises(RuntimeError):
        kept.work(broken, None)
    assert texts(kept) == [] and add(kept, "b")


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.sqlite").write_bytes(content)
    with log.capture() as lines:
        kept = opened(tmp_path)
        assert add(kept, "a") and texts(kept) == ["a"]
    assert any("beginning anew" in line for line in lines)


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "notes.sqlite")
    other.execute("CREATE TABLE note (something TEXT)")
    other.close()
    kept = opened(tmp_path)
    with log.capture() as lines:
        assert not add(kept, "a"), "this one is lost"
        assert add(kept, "b")
    assert texts(kept) == ["b"]
    assert any("beginning anew" in line for line in lines)


def test_where_it_cannot_be_made_nothing_is_known_until_it_can(tmp_path: Path) -> None:
    clock = Clock()
    with log.capture() as lines:
        kept = opened(tmp_path / "none", clock)
        assert not add(kept, "a") and texts(kept) == [] and kept.size == 0
        assert kept.work(lambda _: "made", "default") == "default"
    assert len(lines) == 1 and "nothing is remembered" in lines[0], "said once"
    (tmp_path / "none").mkdir()
    clock.now += RETRY_AFTER
    assert add(kept, "a") and texts(kept) == ["a"]


def test_a_full_disk_loses_nothing_that_is_there(tmp_path: Path) -> None:
    clock = Clock()
    kept = opened(tmp_path, clock)
    assert add(kept, "a")
    kept.rows("PRAGMA max_page_count = 2")
    with log.capture() as lines:
        assert not add(kept, "b" * 100000)
    assert "full" in lines[0]
    clock.now += RETRY_AFTER
    assert texts(kept) == ["a"] and add(kept, "b" * 100000), "tried again with a new connection"


def _two(connection: sqlite3.Connection) -> None:
    for _ in range(2):
        connection.execute("INSERT INTO note (text) VALUES ('x')")


def test_a_process_killed_at_any_moment_leaves_whole_transactions(tmp_path: Path) -> None:
    for round_number in range(5):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            kept = opened(tmp_path)
            for number in range(100000):
                kept.work(_two, None)
                if number == 20 * round_number:
                    os.write(writer, b".")
            os._exit(0)
        os.close(writer)
        assert os.read(reader, 1) == b"."
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        with log.capture() as lines:
            count = len(texts(opened(tmp_path)))
        assert lines == [] and count % 2 == 0 and count > 40 * round_number
