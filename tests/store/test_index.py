"""The index beside a Maildir: what it spares, what it survives, and that nobody misses it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store import open_store
from pillarbox.lib.store.index import base as base_module
from pillarbox.lib.store.index import layout, live
from pillarbox.lib.store.index.base import Columns, build
from pillarbox.lib.store.index.file import NAME, Writer, peek
from pillarbox.lib.store.index.layout import FLAGS, GONE, NEW, Record, Row, State
from pillarbox.lib.store.index.table import Table
from pillarbox.lib.store.interface import DELETED, FLAGGED, INBOX, SEEN, Mailbox, Store
from pillarbox.lib.store.maildir import scan
from tests.store.dying import dies_at

TEXT = b"Subject: x\n\nbody\n"


def base(number: int) -> str:
    return f"{1_700_000_000 + number}.M1P1.h,S={len(TEXT)},W={len(TEXT) + 3}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "mail"
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for number in range(1, 7):
        (path / "cur" / f"{base(number)}:2,{'S' if number % 2 else ''}").write_bytes(TEXT)
    return path


def account(root: Path) -> Store:
    return open_store(f"maildir:{root}")


def shown(mailbox: Mailbox) -> list[tuple[int, int]]:
    return [(state.uid, state.flags) for state in mailbox.messages]


def touched(root: Path, *directories: str) -> None:
    """What a clock without ticks would have noted."""
    for name in directories:
        now = time.time_ns()
        os.utime(root / name, ns=(now, now))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts system calls."""
    counted: dict[str, int] = {}

    def count(name: str) -> Callable[..., object]:
        original = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            counted[name] = counted.get(name, 0) + 1
            return original(*arguments, **options)

        return call

    for name in ("listdir", "open", "stat", "pread", "rename"):
        monkeypatch.setattr(os, name, count(name))
    return counted


@pytest.fixture
def settled(root: Path) -> Path:
    """A mailbox whose index is right, so that nothing is due."""
    past = time.time_ns() - 3_600_000_000_000
    for name in ("cur", "new"):
        os.utime(root / name, ns=(past, past))
    account(root).open(INBOX).close()
    return root


# --- what it spares


def test_a_new_session_lists_nothing(settled: Path, calls: dict[str, int]) -> None:
    with account(settled).open(INBOX) as inbox:
        assert shown(inbox) == [(uid, uid % 2) for uid in range(1, 7)]
        assert inbox.messages.counts() == (6, 0, 3, 0, 1, 6 * (len(TEXT) + 3))
    assert "listdir" not in calls


def test_a_refresh_without_a_change_costs_three_stats(settled: Path, calls: dict[str, int]) -> None:
    with account(settled).open(INBOX) as inbox:
        calls.clear()
        assert not inbox.refresh()
        assert calls == {"stat": 3}


def test_what_another_session_does_is_read_and_not_looked_for(settled: Path, calls: dict[str, int]) -> None:
    with account(settled).open(INBOX) as mine, account(settled).open(INBOX) as other:
        other.set_flags([2], "add", FLAGGED, {"Word"})
        other.expunge([3])
        uid = account(settled).append(INBOX, [TEXT], SEEN).uid
        calls.clear()
        changes = mine.refresh()
        assert changes.expunged == (3,)
        assert [(state.uid, state.flags, state.keywords) for state in changes.changed] == [(2, FLAGGED, {"Word"})]
        assert [state.uid for state in changes.new] == [uid]
        assert "listdir" not in calls


def test_one_session_looks_for_all(settled: Path, calls: dict[str, int]) -> None:
    with account(settled).open(INBOX) as mine, account(settled).open(INBOX) as other:
        (settled / "cur" / f"{base(2)}:2,").rename(settled / "cur" / f"{base(2)}:2,F")
        past = time.time_ns() - 1_800_000_000_000
        os.utime(settled / "cur", ns=(past, past))
        assert [state.flags for state in mine.refresh().changed] == [FLAGGED]
        calls.clear()
        assert [state.flags for state in other.refresh().changed] == [FLAGGED]
        assert "listdir" not in calls


def test_a_delivery_is_found_without_a_look_at_cur(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with account(settled).open(INBOX) as inbox:
        (settled / "new" / "1800000000.M1P1.h").write_bytes(TEXT)
        listed = []
        original = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path: listed.append(os.fsdecode(path)) or original(path))
        (state,) = inbox.refresh().new
        assert (state.uid, state.recent) == (7, True)
        assert {os.path.basename(path) for path in listed} == {"new"}


def test_status_reads_no_columns(settled: Path, calls: dict[str, int]) -> None:
    with account(settled).open(INBOX) as inbox:
        inbox.set_flags([1], "remove", SEEN)
        inbox.set_flags([2], "add", DELETED)
    calls.clear()
    status = account(settled).status(INBOX, with_size=True)
    assert (status.messages, status.unseen, status.deleted, status.recent, status.uid_next) == (6, 4, 1, 0, 7)
    assert status.size == 6 * (len(TEXT) + 3)
    assert calls["open"] == 1 and calls["pread"] == 2 and "listdir" not in calls


def crafted(root: Path, count: int) -> None:
    """A mailbox of many messages without their files: the index is believed, since nothing has changed."""
    header = f"3 V17 N{count + 1} G{'a' * 32}\n"
    (root / "dovecot-uidlist").write_text(header)
    about = os.stat(root / "dovecot-uidlist")
    past = time.time_ns() - 3_600_000_000_000
    for name in ("cur", "new"):
        for path in (root / name).iterdir():
            path.unlink()
        os.utime(root / name, ns=(past, past))
    columns = Columns(
        array("I", range(1, count + 1)),
        array("I", [SEEN]) * count,
        array("Q", [5]) * count,
        array("q", [1000]) * count,
        array("d", [1.7e9]) * count,
        [b"%d.M%dP1.host.example.org,S=980,W=1000:2,S" % (1_600_000_000 + uid, uid) for uid in range(1, count + 1)],
        array("I"),
        array("Q"),
    )
    state = State(
        uid_next=count + 1,
        modseq=5,
        new_stamp=past,
        cur_stamp=past,
        list_inode=about.st_ino,
        list_end=about.st_size,
        lines=count,
    )
    data = build(columns, columns.state(state), uid_validity=17, guid=b"a" * 32, floor=5)
    (root / NAME).write_bytes(data)


def test_a_session_in_a_large_mailbox_holds_kilobytes(root: Path) -> None:
    crafted(root, 100_000)
    store = account(root)
    first = store.open(INBOX)
    assert len(first.messages) == 100_000 and first.messages[99_999].flags == SEEN
    tracemalloc.start()
    try:
        others = []
        for _ in range(50):
            mailbox = store.open(INBOX)
            assert mailbox.messages.counts().messages == 100_000
            assert mailbox.messages.position(77_777) == 77_776
            assert sum(mark & SEEN for mark in mailbox.messages.marks()) == 100_000
            others.append(mailbox)
        each = tracemalloc.get_traced_memory()[0] / len(others)
    finally:
        tracemalloc.stop()
    assert each < 32 * 1024, "memory of one idle session"


# --- what it survives


def lost(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


def another_version(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] += 1
    path.unlink()
    path.write_bytes(data)


def zeros(path: Path) -> None:
    path.unlink()
    path.write_bytes(bytes(100_000))


def zeros_at_the_end(path: Path) -> None:
    """As a power loss leaves a file whose size was written and whose blocks were not."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + bytes(4096))


def half(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def of_another_mailbox(path: Path) -> None:
    other = path.parent.parent / "other"
    store = open_store(f"maildir:{other}")
    for _ in range(9):
        store.append(INBOX, [b"Other: y\r\n\r\n"], FLAGGED)
    store.open(INBOX).close()
    path.unlink()
    shutil.copy2(other / NAME, path)


FAULTS = [
    lost,
    empty,
    another_version,
    zeros,
    zeros_at_the_end,
    half,
    a_directory,
    a_link,
    a_fifo,
    of_another_mailbox,
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("with_session", [False, True], ids=["between sessions", "under sessions"])
def test_an_index_that_is_none_changes_no_uid_and_hides_no_message(
    root: Path, fault: Callable[[Path], None], with_session: bool
) -> None:
    with account(root).open(INBOX) as inbox:
        inbox.set_flags([2], "add", FLAGGED)
        inbox.expunge([5])
        expected, validity, modseq = shown(inbox), inbox.uid_validity, inbox.highest_modseq
    old = account(root).open(INBOX) if with_session else None
    fault(root / NAME)
    with account(root).open(INBOX) as inbox:
        assert (shown(inbox), inbox.uid_validity) == (expected, validity)
        assert inbox.highest_modseq >= modseq
        (state,) = inbox.set_flags([1], "add", DELETED).states
        assert state.flags == SEEN | DELETED
        assert inbox.highest_modseq > modseq
        (root / "new" / "1800000000.M1P1.h").write_bytes(TEXT)
        touched(root, "new")
        assert [new.uid for new in inbox.refresh().new] == [7]
        expected[0] = (1, SEEN | DELETED)
        expected.append((7, 0))
        assert shown(inbox) == expected
    if old is not None:
        touched(root, "cur")
        changes = old.refresh()
        assert [state.uid for state in changes.changed] == [1]
        assert [state.uid for state in changes.new] == [7]
        assert shown(old) == expected
        assert old.expunge([7]) == (7,)
    with account(root).open(INBOX) as inbox:
        assert [uid for uid, _ in shown(inbox)] == ([1, 2, 3, 4, 6] if old else [1, 2, 3, 4, 6, 7])
    assert account(root).status(INBOX).messages == (5 if old else 6)


def test_an_older_index_that_comes_back_is_brought_up_to_date(settled: Path) -> None:
    shutil.copy2(settled / NAME, settled / "aside")
    with account(settled).open(INBOX) as inbox:
        inbox.set_flags([2, 4], "add", FLAGGED)
        inbox.expunge([1])
        done = account(settled).append(INBOX, [TEXT]).uid
        inbox.refresh()
        expected = shown(inbox)
        modseq = inbox.highest_modseq
        inbox.expunge([done])
    os.replace(settled / "aside", settled / NAME)
    with account(settled).open(INBOX) as inbox:
        assert shown(inbox) == expected[:-1]
        assert account(settled).append(INBOX, [TEXT]).uid == done + 1
        inbox.refresh()
        # The message that came and went meanwhile is known to be gone, though this index never heard of it.
        assert any(first <= done <= last for first, last in inbox.changed_since(modseq).vanished)


def test_what_goes_while_a_session_s_index_loses_its_log_is_told(tmp_path: Path) -> None:
    """The index that is left would give modification sequences that the session has been told."""
    root = tmp_path / "mail"
    with account(root).open(INBOX) as inbox, account(root).open(INBOX) as other:
        columns = (root / NAME).read_bytes()
        account(root).append(INBOX, [TEXT])
        for view in (inbox, other):
            assert [state.uid for state in view.refresh().new] == [1]
        (root / NAME).unlink()
        (root / NAME).write_bytes(columns)
        (path,) = (root / "cur").iterdir()
        path.unlink()
        for view in (inbox, other):
            assert view.refresh().expunged == (1,)
            assert shown(view) == []


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the disk full, as far as the index is concerned."""

    def fill() -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Writer, "append", refuse)
        monkeypatch.setattr(Writer, "replace", refuse)

    return fill


@pytest.mark.parametrize("begun", [False, True], ids=["before the index was made", "under a session"])
def test_a_session_does_without_an_index_that_cannot_be_written(
    root: Path, full: Callable[[], None], begun: bool
) -> None:
    if not begun:
        full()
    with account(root).open(INBOX) as inbox, account(root).open(INBOX) as other:
        full()
        assert shown(inbox) == [(uid, uid % 2) for uid in range(1, 7)]
        (state,) = inbox.set_flags([2], "add", FLAGGED).states
        assert state.flags == FLAGGED
        assert inbox.expunge([3]) == (3,)
        (root / "new" / "1800000000.M1P1.h").write_bytes(TEXT)
        touched(root, "new", "cur")
        changes = other.refresh()
        assert changes.expunged == (3,)
        assert [state.flags for state in changes.changed] == [FLAGGED]
        assert [state.uid for state in changes.new] == [7]
        touched(root, "new", "cur")
        inbox.refresh()
        assert shown(inbox) == shown(other)
        done = account(root).append(INBOX, [TEXT])
        assert [state.uid for state in inbox.refresh().new] == [done.uid] == [8]
    assert account(root).status(INBOX).messages == 7


_LOOK = """
import sys
from pillarbox.lib.store import open_store
with open_store("maildir:" + sys.argv[1]).open("INBOX", read_only=True) as inbox:
    assert not inbox.refresh()
    assert inbox.read(1).read().startswith(b"Subject")
    print([(state.uid, state.flags) for state in inbox.messages])
"""


def test_a_read_only_file_system_is_no_obstacle(root: Path) -> None:
    with account(root).open(INBOX) as inbox:
        expected = shown(inbox)
    (root / NAME).unlink()
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(root), sys.executable, _LOOK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == str(expected), done.stderr


@pytest.mark.parametrize("log", [1, live.LOG_LEAST], ids=["columns made anew", "log"])
def test_a_session_that_dies_anywhere_leaves_a_mailbox_as_others_know_it(
    tmp_path: Path, root: Path, log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every system call that writes: UIDs stay, no message is hidden, other sessions go on."""
    monkeypatch.setattr(live, "LOG_LEAST", log)
    monkeypatch.setattr(live, "LOG_SHARE", 1 << 30)
    pristine = tmp_path / "pristine"
    root.rename(pristine)

    def act() -> None:
        with account(root).open(INBOX) as inbox:
            inbox.refresh()
            inbox.set_flags([1, 2], "replace", FLAGGED)
            inbox.expunge([4])

    for number in range(200):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(pristine, root)
        with account(root).open(INBOX) as witness:
            (root / "new" / "1800000000.M1P1.h").write_bytes(TEXT)
            touched(root, "new")
            ended = dies_at(number, act)
            touched(root, "cur")
            witness.refresh()
            with account(root).open(INBOX) as inbox:
                uids = [uid for uid, _ in shown(inbox)]
                assert uids in ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 5, 6, 7])
                assert shown(inbox) == shown(witness)
                files = os.listdir(root / "cur") + os.listdir(root / "new")
                assert len(files) == len(uids)
                for uid, flags in shown(inbox):
                    start = "1800000000." if uid == 7 else f"{1_700_000_000 + uid}."
                    (name,) = [name for name in files if name.startswith(start)]
                    assert flags == FLAGGED * ("F" in name[-2:]) | SEEN * ("S" in name[-2:])
            assert account(root).status(INBOX).messages == len(uids)
        if ended:
            assert uids == [1, 2, 3, 5, 6, 7]
            return
    raise AssertionError("the action makes more calls than the test follows")


# --- modification sequences


def test_changes_have_ascending_modification_sequences(settled: Path) -> None:
    with account(settled).open(INBOX) as inbox:
        before = inbox.highest_modseq
        assert before < 1 << 63
        states = inbox.set_flags([1, 2], "add", FLAGGED).states
        assert states[0].modseq == states[1].modseq > before
        assert inbox.highest_modseq == states[0].modseq
        again = inbox.set_flags([1], "add", FLAGGED).states
        assert again[0].modseq == states[0].modseq, "nothing changed"
        inbox.expunge([3])
        assert inbox.highest_modseq > states[0].modseq
        since = inbox.changed_since(before)
        assert [state.uid for state in since.changed] == [1, 2]
        assert since.vanished == ((3, 3),)
        assert (
            inbox.changed_since(inbox.highest_modseq) == ((), ())
            or not inbox.changed_since(inbox.highest_modseq).changed
        )


def test_a_message_that_changed_meanwhile_is_passed_over(settled: Path) -> None:
    with account(settled).open(INBOX) as mine, account(settled).open(INBOX) as other:
        known = mine.highest_modseq
        other.set_flags([2], "add", FLAGGED)
        done = mine.set_flags([1, 2], "add", DELETED, unchanged_since=known)
        assert [state.uid for state in done.states] == [1]
        assert done.modified == (2,)
        (settled / "cur" / f"{base(4)}:2,").rename(settled / "cur" / f"{base(4)}:2,F")
        assert mine.set_flags([4], "add", DELETED, unchanged_since=known).modified == (4,), "a foreign program did it"
        mine.refresh()
        assert (2, FLAGGED) in shown(mine) and (4, FLAGGED) in shown(mine)


def test_what_vanished_is_known_after_the_columns_were_made_anew(
    settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOG_LEAST", 1)
    monkeypatch.setattr(live, "LOG_SHARE", 1 << 30)
    monkeypatch.setattr(live, "MOST_VANISHED", 2)
    with account(settled).open(INBOX) as inbox:
        modseqs = [inbox.highest_modseq]
        for uid in (2, 3, 5):
            inbox.expunge([uid])
            modseqs.append(inbox.highest_modseq)
    with account(settled).open(INBOX) as inbox:
        assert inbox.changed_since(modseqs[2]).vanished == ((5, 5),)
        assert inbox.changed_since(modseqs[1]).vanished == ((3, 3), (5, 5))
        assert inbox.changed_since(modseqs[0]).vanished == ((2, 3), (5, 5)), "the gaps, since two are remembered"


def test_the_mailbox_id_stays_when_it_is_renamed(root: Path) -> None:
    store = account(root)
    store.create("Old")
    with store.open("Old") as mailbox:
        before = mailbox.mailbox_id
    store.rename("Old", "New")
    with store.open("New") as mailbox, store.open(INBOX) as inbox:
        assert mailbox.mailbox_id == before != inbox.mailbox_id
        assert before.isalnum()


def test_ids_and_dates_of_messages(root: Path) -> None:
    store = account(root)
    store.create("Away")
    uid = store.append("Away", [b"Subject: z\r\n\r\n"], SEEN, (), 1_500_000_000.0).uid
    with store.open("Away") as away, store.open(INBOX) as inbox:
        assert away.internal_date(uid) == 1_500_000_000.0 == away.messages.dates()[0]
        assert abs((away.save_date(uid) or 0) - time.time()) < 60
        done = away.copy([uid], INBOX)
        inbox.refresh()
        assert inbox.email_id(done.uids[0]) == away.email_id(uid) != inbox.email_id(1) == inbox.email_id(2)
        assert inbox.internal_date(done.uids[0]) == 1_500_000_000.0
        assert inbox.save_date(1) == 1_700_000_001.0


# --- its bytes

_ROW = st.builds(
    Record,
    st.sampled_from([NEW, FLAGS, GONE]),
    st.integers(1, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**63),
    st.integers(-1, 2**40),
    st.sampled_from([-1.0, 0.0, 1.7e9]),
    st.binary(max_size=40),
)


@given(st.lists(st.lists(_ROW, max_size=4), min_size=1, max_size=4), st.data())
def test_a_log_is_read_up_to_the_last_whole_frame(frames: list[list[Record]], data: st.DataObject) -> None:
    state = State(messages=3, uid_next=9, modseq=77)
    packed = [layout.pack_frame(records, state._replace(lines=number)) for number, records in enumerate(frames)]
    whole = b"".join(packed)
    read, size = layout.parse_frames(whole)
    assert size == len(whole)
    assert [list(frame.records) for frame in read] == frames
    assert layout.last_state(whole) == state._replace(lines=len(frames) - 1)
    cut = data.draw(st.integers(0, len(whole) - 1))
    read, size = layout.parse_frames(whole[:cut])
    assert whole.startswith(b"".join(packed[: len(read)])) and size == sum(map(len, packed[: len(read)])) <= cut
    place = data.draw(st.integers(0, len(whole) - 1))
    garbled = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    read, _ = layout.parse_frames(garbled)
    assert [list(frame.records) for frame in read] == frames[: len(read)] != frames
    assert layout.last_frames(whole, len(packed[-1])) == packed[-1]


@given(st.binary(max_size=600))
def test_any_bytes_are_an_index_or_damaged(data: bytes) -> None:
    try:
        layout.parse_header(data)
    except layout.Damaged:
        pass
    layout.parse_frames(data)
    layout.last_state(data)


@pytest.fixture
def example(tmp_path: Path) -> Iterator[bytes]:
    columns = Columns.of([(uid, Row(uid % 4, 7, 10, 5.0, b"%d.h:2," % uid)) for uid in range(1, 5)])
    state = columns.state(State(uid_next=5, modseq=7))
    yield build(columns, state, uid_validity=3, guid=b"abc", floor=7)


def test_every_octet_of_a_file_is_under_a_sum(tmp_path: Path, example: bytes) -> None:
    """Whichever is another, the file is found to be damaged, when it is opened or when the column is read."""
    path = tmp_path / NAME
    assert len(example) > layout.HEADER_SIZE
    for place in range(len(example)):
        if layout.HEADER_SIZE - 8 < place < layout.HEADER_SIZE:
            continue  # filling
        path.unlink(missing_ok=True)
        path.write_bytes(example[:place] + bytes([example[place] ^ 1]) + example[place + 1 :])
        with pytest.raises(layout.Damaged):
            base = live.Base.open(str(path))
            for name in layout.COLUMNS:
                base.column(name)
        assert (peek(str(tmp_path)) is None) == (place < layout.HEADER_SIZE)


def test_rows_of_columns_that_do_not_fit_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox whose columns push each other out of memory is not read whole for each of its messages."""
    count = 70_000
    rows = [(uid, Row(uid % 32, uid * 3, uid * 5, uid / 2, b"%d.h:2," % uid)) for uid in range(2, 2 * count + 2, 2)]
    columns = Columns.of(rows)
    state = columns.state(State(uid_next=2 * count + 1, modseq=9 * count))
    path = tmp_path / NAME
    path.write_bytes(build(columns, state, uid_validity=3, guid=b"abc", floor=7))
    monkeypatch.setattr(base_module, "MEMORY", 1 << 20)
    opened = live.Base.open(str(path))
    table = Table(opened)
    for uid, row in rows[:3]:
        assert table.row(uid) == row
    read: list[int] = []
    whole = opened.read

    def counted(offset: int, length: int) -> bytes:
        read.append(length)
        return whole(offset, length)

    monkeypatch.setattr(opened, "read", counted)
    wanted = rows[:: count // 500]
    assert [table.row(uid) for uid, _ in wanted] == [row for _, row in wanted]
    assert [table.facts(uid) for uid, _ in wanted] == [(row.mark, row.modseq) for _, row in wanted]
    assert sum(read) < 1 << 20
    os.truncate(path, layout.HEADER_SIZE)
    with pytest.raises(layout.Damaged):
        table.row(rows[-1][0])


def test_a_file_is_closed_although_its_thread_is_ending(tmp_path: Path, example: bytes) -> None:
    path = tmp_path / NAME
    path.write_bytes(example)
    left: list[object] = []

    def work() -> None:
        base = live.Base.open(str(path))
        base.column("uids")
        fd = base._fd
        vars(base_module._kept).clear()  # as the end of a thread does
        del base
        left.extend(link for link in [f"/proc/self/fd/{fd}"] if os.path.exists(link) and os.readlink(link) == str(path))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not left


# --- looks that are due


def test_a_change_in_the_tick_of_our_own_is_found_a_second_later(
    settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_OWN_CHANGE_NS", 100_000_000)
    with account(settled).open(INBOX) as inbox, account(settled).open(INBOX) as other:
        inbox.set_flags([1], "add", FLAGGED)
        stamp = os.stat(settled / "cur").st_mtime_ns
        (settled / "cur" / f"{base(2)}:2,").rename(settled / "cur" / f"{base(2)}:2,T")
        os.utime(settled / "cur", ns=(stamp, stamp))
        deadline = time.monotonic() + 20
        seen = inbox.refresh().changed
        while not seen and time.monotonic() < deadline:
            seen = inbox.refresh().changed
        assert [state.flags for state in seen] == [DELETED]
        assert {state.uid for state in other.refresh().changed} == {1, 2}
