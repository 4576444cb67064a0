"""The memory of a user's filter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.sieve_box import remembered
from pillarbox.lib.sieve_box.remembered import CEILING, Remembered, parse

NOW = 1_800_000_000.0


def test_what_was_noted_is_known_until_it_expires(tmp_path: Path) -> None:
    path = str(tmp_path / "memory")
    Remembered(path, NOW).note("vacation", "ann@example.org", 60)
    assert Remembered(path, NOW + 59).knows("vacation", "ann@example.org")
    assert not Remembered(path, NOW + 60).knows("vacation", "ann@example.org")


def test_kinds_and_values_are_apart(tmp_path: Path) -> None:
    memory = Remembered(str(tmp_path / "memory"), NOW)
    memory.note("vacation", "a", 60)
    assert memory.knows("vacation", "a")
    assert not memory.knows("duplicate", "a") and not memory.knows("vacation", "b")


def test_a_later_note_counts(tmp_path: Path) -> None:
    path = str(tmp_path / "memory")
    Remembered(path, NOW).note("x", "a", 600)
    Remembered(path, NOW).note("x", "a", 0)
    assert not Remembered(path, NOW).knows("x", "a")


def test_the_file_is_the_users_alone_and_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    Remembered(str(path), NOW).note("vacation", "ann@example.org", 60)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"ann" not in path.read_bytes()


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    Remembered(str(path), NOW).note("x", "a", 60)
    with path.open("ab") as file:
        file.write(b"01800000")
    Remembered(str(path), NOW).note("x", "b", 60)
    memory = Remembered(str(path), NOW)
    assert memory.knows("x", "a") and memory.knows("x", "b")


def test_a_full_file_makes_room_for_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "CEILING", 20)
    monkeypatch.setattr(remembered, "_SLACK", 5)
    path = tmp_path / "memory"
    for number in range(100):
        Remembered(str(path), NOW).note("x", str(number), 1000 + number)
    assert path.read_bytes().count(b"\n") <= 20
    memory = Remembered(str(path), NOW)
    assert memory.knows("x", "99") and not memory.knows("x", "0")
    assert os.listdir(tmp_path) == ["memory"]


def test_the_ceiling_bounds_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    path.write_bytes((b"%011d " % (NOW + 60) + b"0" * 31 + b"%x\n") * 5)
    with path.open("ab") as file:
        file.truncate(1 << 32)  # a hole of 4 GiB
    assert not Remembered(str(path), NOW).knows("x", "a")
    assert CEILING < 100_000


@pytest.mark.parametrize("kind", ["directory", "link", "fifo", "missing"])
def test_a_file_that_cannot_be_used_is_no_reason_to_fail(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "memory"
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "victim")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = tmp_path / "no" / "memory"
    memory = Remembered(str(path), NOW)
    assert not memory.knows("x", "a")
    memory.note("x", "a", 60)
    assert memory.trouble.startswith(str(path))
    assert memory.knows("x", "a"), "within one delivery it is known all the same"
    assert not (tmp_path / "victim").exists()


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert all(expiry > NOW for expiry in parse(data, int(NOW)).values())


def test_many_processes_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "CEILING", 100)
    monkeypatch.setattr(remembered, "_SLACK", 10)
    path = str(tmp_path / "memory")
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                for number in range(40):
                    Remembered(path, NOW).note("x", f"{child}.{number}", 1000 + number)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    memory = Remembered(path, NOW)
    # Of 160 the 90 or more that last longest are kept: number 20 and up of each.
    assert all(memory.knows("x", f"{child}.{number}") for child in range(4) for number in range(20, 40))
    assert memory.trouble == ""
