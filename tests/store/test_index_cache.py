"""The cache beside a mailbox: it forgets at will, but it never says anything wrong and never raises."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store.index import cache as module
from pillarbox.lib.store.index import cache_file, cache_shared
from pillarbox.lib.store.index.cache import FileCache
from pillarbox.lib.store.interface import Mailbox


class Owner:
    """What a cache asks of its mailbox."""

    uid_validity = 7

    def __init__(self, *uids: int) -> None:
        self.uids = list(uids)

    @property
    def messages(self) -> Owner:
        return self


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_open", {})


def opened(path: Path, owner: Owner | None = None) -> FileCache:
    """A cache as another process would have it."""
    cast(Any, module)._open.clear()
    return FileCache(str(path / "cache"), cast(Mailbox, owner or Owner()))


def value(uid: int) -> bytes:
    return b"value of %d" % uid


def filled(path: Path, uids: range, owner: Owner | None = None) -> None:
    cache = opened(path, owner)
    for uid in uids:
        cache.put("envelope", uid, value(uid))
    cache.close()


def test_what_was_put_is_there_for_the_next_session(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 4))
    again = opened(tmp_path)
    assert [again.get("envelope", uid) for uid in (1, 3, 4)] == [value(1), value(3), None]
    assert again.get("structure", 1) is None


def test_sessions_of_a_process_share_what_is_not_written_yet(tmp_path: Path) -> None:
    first = opened(tmp_path)
    second = FileCache(str(tmp_path / "cache"), cast(Mailbox, Owner()))
    first.put("envelope", 1, b"x")
    assert second.get("envelope", 1) == b"x"


def test_what_another_process_writes_is_seen(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 3))
    ours = opened(tmp_path)
    assert ours.get("envelope", 9) is None
    filled(tmp_path, range(9, 10))
    assert ours.get("envelope", 9) == value(9)


def test_a_file_sorted_anew_has_all_and_is_seen_by_others(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 3))
    ours = opened(tmp_path)
    assert ours.get("envelope", 1) == value(1)
    inode = (tmp_path / "cache").stat().st_ino
    filled(tmp_path, range(3000, 1, -1))
    assert (tmp_path / "cache").stat().st_ino != inode
    assert [ours.get("envelope", uid) for uid in (1, 2, 1500, 3000)] == [value(uid) for uid in (1, 2, 1500, 3000)]
    wanted = list(range(1, 3001))
    assert ours.get_many("envelope", wanted) == list(map(value, wanted))
    assert ours.get_many("envelope", [1, 5, 4000]) == [value(1), value(5), None]
    assert ours.get_many("envelope", [4000]) == [None]
    assert ours.get_many("envelope", []) == []
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_sorting_leaves_out_messages_that_are_gone_but_no_new_ones(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 2000), Owner(2, 1000))
    again = opened(tmp_path)
    size = (tmp_path / "cache").stat().st_size
    filled(tmp_path, range(2000, 6000), Owner(2, 1000))
    assert size < 2000 * (cache_file.RECORD.size + len(value(1000)))
    assert [again.get("envelope", uid) for uid in (1, 2, 1000, 1001, 5999)] == [
        None,
        value(2),
        value(1000),
        value(1001),
        value(5999),
    ]


def test_another_uidvalidity_throws_the_file_away(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 3))
    owner = Owner()
    owner.uid_validity = 8
    other = opened(tmp_path, owner)
    assert other.get("envelope", 1) is None
    other.put("envelope", 1, b"new")
    other.close()
    assert opened(tmp_path, owner).get("envelope", 1) == b"new"


@pytest.mark.parametrize("count", [3, 2000])
def test_a_flipped_bit_never_gives_a_wrong_value(tmp_path: Path, count: int) -> None:
    filled(tmp_path, range(1, count + 1))
    path = tmp_path / "cache"
    good = path.read_bytes()
    for position in range(0, len(good), 1 if count < 10 else 1013):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x20]) + good[position + 1 :])
        again = opened(tmp_path)
        for uid in (1, 2, count):
            assert again.get("envelope", uid) in (value(uid), None)
        assert set(again.get_many("envelope", [1, 2, 3])) <= {value(1), value(2), value(3), None}
        again.put("envelope", 1, value(1))
        again.close()
        assert opened(tmp_path).get("envelope", 1) == value(1)


def test_a_file_cut_off_under_a_session_is_survived(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 2000))
    path = tmp_path / "cache"
    for length in (10_000, 100, 3, 0):
        ours = opened(tmp_path)
        ours.put("envelope", 1, value(1))
        ours.flush()
        assert ours.get("envelope", 1) == value(1)
        os.truncate(path, min(length, path.stat().st_size))
        assert ours.get("envelope", 1500) in (value(1500), None)
        assert set(ours.get_many("envelope", [1, 2])) <= {value(1), value(2), None}
        ours.put("envelope", 1, value(1))
        ours.flush()
        assert ours.get("envelope", 1) == value(1)


@pytest.mark.parametrize("begun", [1, 10, 20])
def test_a_record_that_is_just_being_written_is_waited_for(tmp_path: Path, begun: int) -> None:
    filled(tmp_path, range(1, 4))
    path = tmp_path / "cache"
    whole = path.read_bytes()
    with open(path, "ab") as file:
        file.write(cache_file.record(4, 2, value(4))[:begun])
    reader = opened(tmp_path)
    assert [reader.get("envelope", uid) for uid in (1, 3, 4)] == [value(1), value(3), None]
    path.write_bytes(whole + cache_file.record(4, 2, value(4)))
    assert reader.get("envelope", 4) == value(4)
    with open(path, "ab") as file:
        file.write(cache_file.record(5, 2, value(5))[:begun])  # by one who was killed
    filled(tmp_path, range(6, 7))
    assert [reader.get("envelope", uid) for uid in (1, 4, 6)] == [value(1), value(4), value(6)]
    assert [opened(tmp_path).get("envelope", uid) for uid in (1, 4, 5, 6)] == [value(1), value(4), None, value(6)]


@pytest.mark.parametrize("size", [0, 5])
def test_a_file_that_is_just_being_made_is_left_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cache"
    path.write_bytes(cache_file.new_header(7)[:size])
    reader = opened(tmp_path)
    assert reader.get("envelope", 1) is None
    assert path.exists()
    filled(tmp_path, range(1, 2))
    assert reader.get("envelope", 1) == value(1)


def test_what_others_wrote_in_place_of_records_that_were_taken_back_is_not_taken_for_those(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 4))
    ours = opened(tmp_path)
    assert ours.get("envelope", 2) == value(2)
    other = [cache_file.record(uid, 2, value(uid)) for uid in (3, 2, 1)]
    (tmp_path / "cache").write_bytes(cache_file.new_header(7) + b"".join(other))
    assert ours.get("envelope", 3) in (value(3), None)
    assert set(ours.get_many("envelope", [1, 2, 3])) <= {value(1), value(2), value(3), None}
    assert ours.get("envelope", 1) in (value(1), None)


def test_the_file_may_be_deleted_at_any_time(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 3))
    ours = opened(tmp_path)
    assert ours.get("envelope", 1) == value(1)
    (tmp_path / "cache").unlink()
    ours.put("envelope", 5, value(5))
    ours.close()
    assert opened(tmp_path).get("envelope", 5) == value(5)


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    ours = opened(tmp_path / "missing")
    ours.put("envelope", 1, b"x")
    ours.close()
    assert opened(tmp_path / "missing").get("envelope", 1) is None


def test_large_values_and_unknown_fields_are_not_kept(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    ours.put("envelope", 1, bytes(module.VALUE_LIMIT + 1))
    ours.put("nonsense", 1, b"x")
    assert ours.get("envelope", 1) is ours.get("nonsense", 1) is None
    assert ours.get_many("nonsense", [1, 2]) == [None, None]
    ours.close()
    assert not (tmp_path / "cache").exists()


def test_a_file_that_has_become_too_large_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_shared, "FILE_LIMIT", 1000)
    for uid in range(1, 100):
        filled(tmp_path, range(uid, uid + 1))
    path = tmp_path / "cache"
    assert not path.exists() or path.stat().st_size <= 1000


@given(st.dictionaries(st.tuples(st.integers(1, 6), st.integers(1, 50)), st.binary(max_size=20)))
def test_what_is_sorted_is_what_was_there(values: dict[tuple[int, int], bytes]) -> None:
    data = cache_file.new_header(3)
    tail = {}
    for (field, uid), text in values.items():
        data += cache_file.record(uid, field, text)
        tail[cache_file.key(field, uid)] = len(data) - len(text) << 20 | len(text)
    found = list(cache_file.read_records(data, cache_file.HEADER.size, len(data)))
    assert {(field, uid): data[place : place + length] for uid, field, place, length in found} == values
    new = b"".join(cache_file.packed(data, {}, tail, 3, None))
    tables, end = cache_file.read_tables(new, len(new), 3)
    assert end == len(new)
    sorted_values = {
        (field, uid): new[place : place + length]
        for field, table in tables.items()
        for uid, place, length in zip(table.uids, table.places, table.lengths, strict=True)
    }
    assert sorted_values == values


def test_values_that_were_missed_together_are_found_once_they_are_there(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    assert ours.get_many("envelope", [1, 2, 3, 4]) == [None] * 4
    for uid in (1, 2):
        assert ours.get("envelope", uid) is None
        ours.put("envelope", uid, value(uid))
    ours.put("envelope", 3, value(3))
    assert ours.get("envelope", 3) == value(3), "what was put without being asked for"
    ours.flush()
    assert [ours.get("envelope", uid) for uid in (1, 2, 3)] == [value(1), value(2), value(3)]
    filled(tmp_path, range(4, 5))
    ours.get("envelope", 4)
    assert ours.get("envelope", 4) == value(4), "another process put it"
    assert ours.get_many("envelope", [1, 2, 3, 4]) == [value(1), value(2), value(3), value(4)]


def test_what_could_not_be_written_while_another_one_wrote_is_written_the_next_time(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    ours.put("envelope", 1, value(1))
    ours.flush()
    ours.put("envelope", 2, value(2))
    with open(tmp_path / "cache", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        ours.flush()
        assert ours.get("envelope", 2) == value(2)
    ours.close()
    assert opened(tmp_path).get("envelope", 2) == value(2)


def test_what_is_known_of_messages_goes_with_their_copies(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    for uid in range(1, 1300):
        ours.put("envelope", uid, value(uid))
    ours.put("structure", 7, b"s")
    place = tmp_path / "other"
    uids = [*range(5, 1200), 2000]
    ours.carry(str(place), 9, uids, [uid + 10 for uid in uids])
    assert ours.get("envelope", 5) == value(5), "it is still here"
    owner = Owner()
    owner.uid_validity = 9
    there = FileCache(str(place), cast(Mailbox, owner))
    assert [there.get("envelope", uid) for uid in (5, 15, 1209, 1210, 2010)] == [
        None,
        value(5),
        value(1199),
        None,
        None,
    ]
    assert there.get("structure", 17) == b"s"


def test_copying_in_a_thread_leaves_alone_what_sessions_have_in_hand(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    ours.put("envelope", 1, value(1))
    ours.flush()
    ours.put("envelope", 2, value(2))
    thread = threading.Thread(target=lambda: ours.carry(str(tmp_path / "other"), 7, [1, 2], [11, 12]))
    thread.start()
    thread.join()
    there = FileCache(str(tmp_path / "other"), cast(Mailbox, Owner()))
    assert [there.get("envelope", uid) for uid in (11, 12)] == [value(1), None]
    size = (tmp_path / "cache").stat().st_size
    ours.close()
    assert (tmp_path / "cache").stat().st_size > size, "it was not written before"
    assert opened(tmp_path).get("envelope", 2) == value(2)


def test_a_few_copies_are_not_worth_looking_through_a_large_file(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    ours.put("envelope", 1, value(1))
    place = str(tmp_path / "other")
    other = FileCache(place, cast(Mailbox, Owner()))
    for uid in range(1, 100):
        other.put("envelope", uid, bytes(module.VALUE_LIMIT))
    other.flush()
    ours.carry(place, 7, [1], [200])
    assert other.get("envelope", 200) == value(1), "the file is at hand"
    other.close()
    ours.flush()
    cast(Any, module)._open.clear()
    ours.carry(place, 7, [1], [300])
    assert FileCache(place, cast(Mailbox, Owner())).get("envelope", 300) is None


def test_copies_of_messages_of_which_nothing_is_known_cost_nothing(tmp_path: Path) -> None:
    opened(tmp_path).carry(str(tmp_path / "other"), 9, [1, 2], [3, 4])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_takes_nothing_and_harms_nothing(tmp_path: Path) -> None:
    filled(tmp_path, range(1, 3))
    ours = opened(tmp_path)
    (tmp_path / "damaged").write_bytes(b"x" * 100)
    for name in ("missing/other", "damaged"):
        ours.carry(str(tmp_path / name), 9, [1, 2], [3, 4])
        assert ours.get("envelope", 1) == value(1)


def test_a_thread_writes_beside_the_sessions_as_another_process_does(tmp_path: Path) -> None:
    ours = opened(tmp_path)
    ours.put("envelope", 1, value(1))
    thread = threading.Thread(target=lambda: _put(tmp_path, range(2, 4)))
    thread.start()
    thread.join()
    assert [ours.get("envelope", uid) for uid in (1, 2, 3)] == [value(1), value(2), value(3)]
    ours.close()
    assert [opened(tmp_path).get("envelope", uid) for uid in (1, 2, 3)] == [value(1), value(2), value(3)]


def _put(path: Path, uids: range) -> None:
    cache = FileCache(str(path / "cache"), cast(Mailbox, Owner()))
    for uid in uids:
        assert cache.get("envelope", uid) is None
        cache.put("envelope", uid, value(uid))
    cache.close()


def test_a_large_file_is_sorted_beside_the_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_shared, "AT_ONCE", 1000)
    owner = Owner(*range(1, 3000))
    ours = opened(tmp_path, owner)
    inode = 0
    for uid in range(1, 4000):
        ours.put("envelope", uid, value(uid))
        if uid == 600:
            ours.flush()
            inode = (tmp_path / "cache").stat().st_ino
    ours.flush()
    for thread in threading.enumerate():
        if thread.name == "cache-sorter":
            thread.join()
    assert (tmp_path / "cache").stat().st_ino != inode
    ours.put("envelope", 4000, value(4000))
    ours.flush()
    wanted = [1, 599, 2000, 2999, 3999, 4000]
    assert [ours.get("envelope", uid) for uid in wanted] == list(map(value, wanted))
    assert [opened(tmp_path, owner).get("envelope", uid) for uid in wanted] == list(map(value, wanted))
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
