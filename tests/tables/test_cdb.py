"""The constant database: round trips, other implementations' corner cases, and every kind of damage."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.tables.cdb import CdbReader, CorruptTable, cdb_hash, write_cdb
from tests.feeding import truncations, with_trailing

ENTRIES = {b"one": b"1", b"two": b"", b"": b"empty key", b"x" * 5000: b"y" * 70000, bytes(range(256)): b"\0\xff"}


def image(entries: dict[bytes, bytes]) -> bytes:
    stream = io.BytesIO()
    write_cdb(stream, entries.items())
    return stream.getvalue()


def reader(path: Path, content: bytes) -> CdbReader:
    path.write_bytes(content)
    return CdbReader(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize("key", [b"", b"one", b"ann@example.com", bytes(range(256))])
def test_the_hash_is_the_published_one(key: bytes) -> None:
    # "h = ((h << 5) + h) ^ c, with a starting hash of 5381", in 32 bits
    expected = 5381
    for character in key:
        expected = (expected * 33 % 2**32) ^ character
    assert cdb_hash(key) == expected


def test_what_was_written_is_found(tmp_path: Path) -> None:
    table = reader(tmp_path / "t", image(ENTRIES))
    assert {key: table.get(key) for key in ENTRIES} == ENTRIES
    assert dict(table.items()) == ENTRIES


def test_what_was_not_written_is_not_found(tmp_path: Path) -> None:
    table = reader(tmp_path / "t", image(ENTRIES))
    assert [table.get(key) for key in (b"three", b"on", b"onee", b"x" * 4999)] == [None] * 4


def test_an_empty_table_has_no_key(tmp_path: Path) -> None:
    table = reader(tmp_path / "t", image({}))
    assert table.get(b"a") is None
    assert list(table.items()) == []


@given(st.dictionaries(st.binary(max_size=40), st.binary(max_size=600), max_size=60), st.binary(max_size=40))
def test_any_entries_come_back(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, bytes], other: bytes
) -> None:
    table = reader(tmp_path_factory.mktemp("cdb") / "t", image(entries))
    assert dict(table.items()) == entries
    for key in (*entries, other):
        assert table.get(key) == entries.get(key)


def test_keys_whose_hashes_fall_into_one_table_are_all_found(tmp_path: Path) -> None:
    keys = [key for i in range(20000) if cdb_hash(key := b"%d" % i) & 255 == 7]
    assert len(keys) > 50
    table = reader(tmp_path / "t", image({key: b"v" + key for key in keys}))
    assert all(table.get(key) == b"v" + key for key in keys)


def test_a_file_cut_short_is_corrupt(tmp_path: Path) -> None:
    for part in truncations(image({b"a": b"b", b"c": b"d"})):
        with pytest.raises(CorruptTable):
            reader(tmp_path / "t", part)


def test_a_file_with_bytes_behind_it_is_corrupt(tmp_path: Path) -> None:
    for longer in with_trailing(image({b"a": b"b"})):
        with pytest.raises(CorruptTable):
            reader(tmp_path / "t", longer)


def test_a_file_that_shrinks_while_it_is_open_is_corrupt_and_not_fatal(tmp_path: Path) -> None:
    table = reader(tmp_path / "t", image(ENTRIES))
    os.truncate(tmp_path / "t", 2060)
    with pytest.raises(CorruptTable):
        table.get(b"one")


def test_a_record_that_points_outside_is_corrupt(tmp_path: Path) -> None:
    content = bytearray(image({b"one": b"1"}))
    struct.pack_into("<I", content, 2048 + 4, 0xFFFF)
    table = reader(tmp_path / "t", bytes(content))
    with pytest.raises(CorruptTable):
        table.get(b"one")
    with pytest.raises(CorruptTable):
        list(table.items())


@given(st.data())
def test_damage_never_does_more_than_corrupt(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(image({b"key%d" % i: b"value" for i in range(5)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        table = reader(tmp_path_factory.mktemp("cdb") / "t", bytes(content))
        for i in range(6):
            table.get(b"key%d" % i)
        list(table.items())
    except CorruptTable:
        pass


def test_a_look_up_reads_twice_whatever_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the slots, once the record: what a look-up in a table of a million keys costs is known from one of few."""
    keys = [f"user{number}@example.com".encode() for number in range(20_000)]
    table = reader(tmp_path / "t", image(dict.fromkeys(keys, b"value")))
    reads = 0
    read = os.pread

    def counting(*arguments: int) -> bytes:
        nonlocal reads
        reads += 1
        return read(*arguments)

    monkeypatch.setattr(os, "pread", counting)
    assert all(table.get(key) for key in keys)
    assert reads / len(keys) < 2.2
    reads = 0
    assert not any(table.get(b"no" + key) for key in keys)
    assert reads / len(keys) < 1.2
