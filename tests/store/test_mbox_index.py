"""The index beside an mbox file: changes are appended, others' are taken in, and a cut line counts as not written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN
from pillarbox.lib.store.mbox.index import Index, Row, append_change, parse, read_index, read_on, write_index
from tests.feeding import truncations


def row(uid: int, **values: int) -> Row:
    return Row(uid, uid * 10, uid * 10 + 5, uid * 10 + 9, uid * 10 + 10, f"print{uid}", 99, 1.5, **values)  # type: ignore[arg-type]


def many(count: int) -> Index:
    return Index(7, count + 1, 1, 2, 3, [row(uid) for uid in range(1, count + 1)])


def test_a_change_is_appended_and_read_by_all(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    index = many(300)
    write_index(path, index)
    size = os.path.getsize(path)
    other = read_index(path)
    assert other == index
    index.rows[4].flags = SEEN
    index.rows.append(row(301))
    index.next_uid = 302
    assert append_change(path, index, [index.rows[4], index.rows[-1]], [], durable=True)
    del index.rows[1]
    assert append_change(path, index, [], [2], durable=False)
    assert os.path.getsize(path) - size < 700
    assert read_index(path) == index
    assert other is not None and read_on(path, other)
    assert other == index


def test_a_file_with_more_changes_than_messages_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    index = many(10)
    write_index(path, index)
    appended = 0
    while append_change(path, index, index.rows[:3], [], durable=False):
        appended += 1
    assert 20 < appended < 100


def test_a_line_cut_short_counts_as_not_written_and_is_never_built_upon(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    index = many(3)
    write_index(path, index)
    whole = os.path.getsize(path)
    index.rows[0].flags = SEEN
    append_change(path, index, index.rows[:1], [], durable=False)
    data = Path(path).read_bytes()
    for end in range(whole, len(data)):
        found = parse(data[:end])
        assert found is not None and [each.flags for each in found.rows] == [0, 0, 0]
        assert (found.written == whole) == (end == whole)
        if end > whole:
            assert not append_change(path, found, [], [], durable=False)


def test_any_beginning_of_a_file_is_read_or_refused() -> None:
    index = many(3)
    data = b"\n".join([json.dumps({"version": 2, **index.head(), "rows": 3}).encode(), b"", b""])
    for piece in truncations(data):
        parse(piece)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_or_read_without_a_traceback(data: bytes) -> None:
    parse(data)
    head = json.dumps({"version": 2, **many(0).head(), "rows": 0}).encode()
    found = parse(head + b"\n" + data)
    assert found is not None and found.uid_validity


def test_the_former_version_is_read_and_replaced(tmp_path: Path) -> None:
    store = open_store(f"mbox:{tmp_path}/mail")
    for _ in range(3):
        store.append(INBOX, [b"Subject: x\r\n\r\n"])
    path = tmp_path / "mail/.pillarbox/INBOX.index"
    index = read_index(str(path))
    assert index is not None
    lines = [json.dumps({"version": 1, **index.head()}), *(json.dumps(each.fields()) for each in index.rows), ""]
    path.write_text("\n".join(lines))
    with open_store(f"mbox:{tmp_path}/mail").open(INBOX) as inbox:
        assert (list(inbox.messages.uids), inbox.uid_validity) == ([1, 2, 3], index.uid_validity)
        inbox.set_flags([2], "add", FLAGGED)
    assert json.loads(path.read_text().split("\n")[0])["version"] == 2


def written(folder: Path, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Octets that `act` writes."""
    total = 0
    write = os.write

    def counting(fd: int, data: bytes) -> int:
        nonlocal total
        total += len(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", counting)
    act()
    monkeypatch.undo()
    return total


def test_no_change_of_one_message_writes_or_reads_the_index_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mail" / INBOX
    file.parent.mkdir()
    one = b"From a@example.org  Sat Jan  1 00:00:%02d 2000\nSubject: %d\n\n" + b"body\n" * 100 + b"\n"
    file.write_bytes(b"".join(one % (number % 60, number) for number in range(2000)))
    store = open_store(f"mbox:{tmp_path}/mail")
    with store.open(INBOX) as inbox:
        index = os.path.getsize(tmp_path / "mail/.pillarbox/INBOX.index")
        assert index > 200_000
        monkeypatch.setattr("pillarbox.lib.store.mbox.file.read_index", None)  # it is known
        acts: dict[str, Callable[[], object]] = {
            "flags": lambda: inbox.set_flags([5], "add", SEEN),
            "append": lambda: store.append(INBOX, [b"Subject: y\r\n\r\n"]),
            "refresh": inbox.refresh,
            "read": lambda: inbox.read(7).close(),
            "last": lambda: inbox.expunge([2000]),
        }
        for what, act in acts.items():
            assert written(tmp_path, act, monkeypatch) < 3000, what
            monkeypatch.setattr("pillarbox.lib.store.mbox.file.read_index", None)
    monkeypatch.undo()
    with open_store(f"mbox:{tmp_path}/mail").open(INBOX) as inbox:
        assert len(inbox.messages) == 2000
        assert inbox.messages[4].flags == SEEN


def test_two_processes_see_each_others_changes(tmp_path: Path) -> None:
    one, two = open_store(f"mbox:{tmp_path}/mail"), open_store(f"mbox:{tmp_path}/mail")
    for number in range(3):
        one.append(INBOX, [b"Subject: %d\r\n\r\n" % number])
    with one.open(INBOX) as first, two.open(INBOX) as second:
        for turn in range(5):
            first.set_flags([1], "add" if turn % 2 else "remove", SEEN)
            second.set_flags([2], "add", FLAGGED)
            assert [each.flags for each in (second.refresh(), second.messages[0])[1:]] == [SEEN if turn % 2 else 0]
            first.refresh()
            assert first.messages[1].flags == FLAGGED
            two.append(INBOX, [b"Subject: more\r\n\r\n"])
            assert [each.uid for each in first.refresh().new] == [4 + turn]
