"""Table files: built in one step, noticed when they change, failing when they are broken."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, Table, TableChanged, TableError, fold
from pillarbox.lib.tables.build import Builder, Duplicates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def build(path: Path, entries: dict[str, str], kind: str = "hash") -> None:
    builder = Builder(kind, str(path))
    for key, value in entries.items():
        builder.put(key, value)
    builder.commit()


def opened(path: Path, kind: str = "hash") -> tuple[Table, Clock]:
    clock = Clock()
    return STANDARD.open(f"{kind}:{path}", Options(clock=clock)), clock


@pytest.mark.parametrize("kind", ["hash", "btree", "cdb", "lmdb"])
def test_a_built_table_is_found_in_folded(tmp_path: Path, kind: str) -> None:
    build(tmp_path / "t", {"Ann@Example.COM": "a", "ÄÖ": "b"}, kind)
    table = opened(tmp_path / "t", kind)[0]
    assert [table.get(key) for key in ("ann@example.com", "ANN@EXAMPLE.COM", "äö", "x", "")] == [
        "a",
        "a",
        "b",
        None,
        None,
    ]
    assert dict(table.items()) == {"ann@example.com": "a", "äö": "b"}


@pytest.mark.parametrize("kind", ["hash", "lmdb"])
@given(entries=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), st.text(max_size=50)))
def test_any_entries_come_back(tmp_path_factory: pytest.TempPathFactory, kind: str, entries: dict[str, str]) -> None:
    entries = {k: v for k, v in entries.items() if "\0" not in k + v and v.isprintable()}
    path = tmp_path_factory.mktemp("t") / "t"
    expected: dict[str, str] = {}
    for key, value in entries.items():
        expected.setdefault(fold(key), value)
    build(path, entries, kind)
    table = opened(path, kind)[0]
    assert dict(table.items()) == expected
    assert all(table.get(key) == value for key, value in expected.items())


@pytest.mark.parametrize(("duplicates", "value", "warned"), [("warn", "1", 1), ("ignore", "1", 0), ("replace", "2", 0)])
def test_duplicates(tmp_path: Path, duplicates: Duplicates, value: str, warned: int) -> None:
    warnings: list[str] = []
    builder = Builder("hash", str(tmp_path / "t"), duplicates=duplicates, warn=warnings.append)
    builder.put("k", "1")
    builder.put("K", "2")
    builder.commit()
    assert opened(tmp_path / "t")[0].get("k") == value
    assert warnings == [f'{tmp_path}/t.cdb: duplicate entry: "k"'] * warned


def test_a_build_takes_mode_from_the_source_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("k v\n")
    (tmp_path / "t").chmod(0o640)
    builder = Builder("hash", str(tmp_path / "t"))
    builder.owned_by((tmp_path / "t").stat())
    builder.put("k", "v")
    builder.commit()
    assert stat.S_IMODE((tmp_path / "t.cdb").stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["t", "t.cdb"]


def test_a_build_that_fails_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "t", {"k": "old"})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        build(tmp_path / "t", {"k": "new"})
    assert opened(tmp_path / "t")[0].get("k") == "old"
    assert os.listdir(tmp_path) == ["t.cdb"]


@pytest.mark.parametrize("kind", ["texthash", "static", "foo"])
def test_what_cannot_be_built_is_refused(kind: str) -> None:
    with pytest.raises(TableError, match="unsupported dictionary type"):
        Builder(kind, "t")


@pytest.mark.parametrize("kind", ["hash", "texthash", "lmdb"])
def test_a_replaced_file_is_seen_within_a_second(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t"

    def write(value: str) -> None:
        if kind == "texthash":
            path.write_text(f"k {value}\n")
        else:
            build(path, {"k": value}, kind)

    write("1")
    table, clock = opened(path, kind)
    assert table.get("k") == "1"
    write("2")
    clock.now += 0.5
    assert table.get("k") == "1", "the file is looked at once a second, not at every look-up"
    clock.now += 0.6
    assert table.get("k") == "2"


def test_an_edit_within_the_same_clock_tick_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("k 1\n")
    table, clock = opened(path, "texthash")
    assert table.get("k") == "1"
    times = path.stat()
    path.write_text("k 2\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    clock.now += 1.1
    assert table.get("k") == "2"


@pytest.mark.parametrize("kind", ["hash", "texthash", "regexp", "cidr", "lmdb"])
def test_a_missing_file_fails_until_it_is_there(tmp_path: Path, kind: str) -> None:
    table, clock = opened(tmp_path / "t", kind)
    with log.capture() as lines:
        for _ in range(5):
            with pytest.raises(LookupFailed, match="No such file or directory"):
                table.get("k")
            clock.now += 2
    assert len(lines) == 1, "one log line, not one per look-up"
    if kind in ("hash", "lmdb"):
        build(tmp_path / "t", {"k": "v"}, kind)
    else:
        (tmp_path / "t").write_text({"texthash": "k v\n", "regexp": "/k/ v\n", "cidr": "0.0.0.0/0 v\n"}[kind])
    assert table.get("k" if kind != "cidr" else "1.2.3.4") == "v"


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 2047, b"\xff" * 4096, b"key value\n" * 500])
@pytest.mark.parametrize("kind", ["hash", "lmdb"])
def test_a_corrupt_file_fails_and_is_logged(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / ("t.cdb" if kind == "hash" else "t.lmdb")).write_bytes(content)
    table, clock = opened(tmp_path / "t", kind)
    with log.capture() as lines:
        for _ in range(3):
            with pytest.raises(LookupFailed):
                table.get("k")
            clock.now += 2
    assert len(lines) == 1
    assert str(tmp_path) in lines[0]


def test_a_table_that_turns_corrupt_fails_and_recovers(tmp_path: Path) -> None:
    build(tmp_path / "t", {"k": "v"})
    table, clock = opened(tmp_path / "t")
    assert table.get("k") == "v"
    (tmp_path / "t.cdb").write_bytes(b"garbage")
    clock.now += 2
    with log.capture(), pytest.raises(LookupFailed):
        table.get("k")
    build(tmp_path / "t", {"k": "again"})
    clock.now += 2
    assert table.get("k") == "again"


@pytest.mark.parametrize("kind", ["hash", "texthash"])
def test_what_is_no_file_fails(tmp_path: Path, kind: str) -> None:
    name = tmp_path / ("t.cdb" if kind == "hash" else "t")
    for make in (name.mkdir, lambda: os.mkfifo(name)):
        make()
        with log.capture(), pytest.raises(LookupFailed, match="is not a regular file"):
            opened(tmp_path / "t", kind)[0].get("k")
        name.rmdir() if name.is_dir() else name.unlink()


def test_a_changed_file_that_may_not_be_read_asks_for_a_new_start_and_gives_no_old_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    path.write_text("k 1\n")
    clock = Clock()
    denied: list[str] = []
    table = STANDARD.open(f"texthash:{path}", Options(clock=clock, denied=denied.append))
    assert table.get("k") == "1"
    path.write_text("k 22\n")
    real_open = os.open

    def refusing(name: str, *rest: int) -> int:
        if name == str(path):
            raise PermissionError(13, "Permission denied")
        return real_open(name, *rest)

    monkeypatch.setattr(os, "open", refusing)
    for _ in range(2):
        clock.now += 2
        with pytest.raises(TableChanged):
            table.get("k")
    assert denied == [str(path)], "asked once for each change"


def test_a_file_that_could_never_be_read_fails_and_asks_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    path.write_text("k 1\n")
    os.utime(path, (1, 1))
    denied: list[str] = []
    clock = Clock()
    table = STANDARD.open(f"texthash:{path}", Options(clock=clock, denied=denied.append))

    def refusing(name: str, *rest: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refusing)
    with log.capture():
        for _ in range(3):
            with pytest.raises(LookupFailed, match="Permission denied"):
                table.get("k")
            clock.now += 2
    assert denied == []


def test_a_directory_that_is_closed_later_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confined process may not even see whether the file has changed; that is no reason to stop answering."""
    (tmp_path / "t").write_text("a b\n")
    now = [100.0]
    table = STANDARD.open(f"texthash:{tmp_path}/t", Options(clock=lambda: now[0]))
    assert table.get("a") == "b"
    now[0] += 10

    def closed(path: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", closed)
    assert table.get("a") == "b"
