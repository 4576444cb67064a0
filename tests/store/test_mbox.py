"""mbox beside other programs: mail appended, messages removed and flags changed by them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store import open_store, patience
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import ANSWERED, FLAGGED, INBOX, SEEN, Mailbox, MailboxBusy, Store, StoreUnavailable
from pillarbox.lib.store.keeping import Identity, Kept
from pillarbox.lib.store.mbox import append, journal
from pillarbox.lib.store.mbox import mailbox as mbox
from pillarbox.lib.store.mbox.parse import examine, find_messages
from tests.store.holder import held

FROM = "From x@example.org  Thu Jan  1 12:00:00 2026\n"


def message(subject: str, body: str = "body\n", status: str = "") -> str:
    return f"{FROM}Subject: {subject}\n{status}\n{body}\n"


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "mail").mkdir()
    path = tmp_path / "mail" / "INBOX"
    path.write_text(message("one") + message("two") + message("three"))
    return path


def account(box: Path) -> Store:
    return open_store(f"mbox:{box.parent}")


def subjects(mailbox: Mailbox) -> dict[int, str]:
    found = {}
    for state in mailbox.messages:
        with mailbox.read(state.uid) as content:
            found[state.uid] = content.header().split(b"Subject: ")[1].split(b"\r\n")[0].decode()
    return found


def test_appended_mail_is_noticed(box: Path) -> None:
    with account(box).open(INBOX) as inbox:
        with box.open("a") as file:
            file.write(message("four"))
        assert [state.uid for state in inbox.refresh().new] == [4]
        assert subjects(inbox) == {1: "one", 2: "two", 3: "three", 4: "four"}


def test_a_message_removed_by_another_program_is_expunged_and_the_others_keep_their_uids(box: Path) -> None:
    with account(box).open(INBOX) as inbox:
        inbox.set_flags([3], "add", FLAGGED)
        box.write_text(message("one") + message("three") + message("five"))
        changes = inbox.refresh()
        assert changes.expunged == (2,)
        assert [state.uid for state in changes.new] == [4]
        assert subjects(inbox) == {1: "one", 3: "three", 4: "five"}
        assert inbox.messages[1].flags == FLAGGED


def test_flags_set_by_another_program_are_taken_over(box: Path) -> None:
    with account(box).open(INBOX) as inbox:
        inbox.set_flags([1], "add", ANSWERED)
        box.write_text(message("one", status="Status: RO\nX-Status: F\n") + message("two") + message("three"))
        (state,) = inbox.refresh().changed
        assert (state.uid, state.flags) == (1, SEEN | FLAGGED | ANSWERED)


def test_status_lines_are_not_part_of_the_message(box: Path) -> None:
    box.write_text(message("one", status="Status: RO\nX-Keywords: a b\nX-UID: 7\n"))
    with account(box).open(INBOX) as inbox:
        (state,) = inbox.messages
        assert state.uid == 7
        assert state.keywords == {"a", "b"}
        with inbox.read(7) as content:
            assert content.read() == b"Subject: one\r\n\r\nbody\r\n"
            assert content.size == inbox.size(7) == 22


def test_expunge_writes_flags_into_the_file_for_other_programs(box: Path) -> None:
    box.write_text(message("one", "long body\n" * 20) + message("two") + message("three"))
    with account(box).open(INBOX) as inbox:
        inbox.set_flags([2], "add", SEEN | FLAGGED, {"word"})
        inbox.expunge([1])
        assert subjects(inbox) == {2: "two", 3: "three"}
    text = box.read_text()
    assert text.startswith(f"{FROM}Status: RO\nX-Status: F\nX-Keywords: word\nSubject: two\n\nbody\n\n{FROM}")
    with account(box).open(INBOX) as inbox:
        assert subjects(inbox) == {2: "two", 3: "three"}
        assert inbox.messages[0].flags == SEEN | FLAGGED


def test_a_move_that_stopped_half_way_is_completed_before_the_next(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = account(box)
    store.create("A")
    with store.open(INBOX) as mailbox:
        with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
            patch.setattr(mbox, "remove_messages", broken)
            mailbox.move((1,), "A")
        mailbox.move((1, 2, 3), "A")  # as a client does that was told NO
        mailbox.refresh()
        assert not subjects(mailbox)
    with store.open("A") as mailbox:
        assert sorted(subjects(mailbox).values()) == ["one", "three", "two"]


def broken(*_: object) -> None:
    raise OSError(errno.EIO, "broken")


def test_mail_that_comes_after_a_move_that_never_began_is_not_taken_for_its_copy(
    tmp_path: Path, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = account(box)
    store.create("A")
    with store.open(INBOX) as mailbox, monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(mbox, "append_messages", broken)
        mailbox.move((1,), "A")
    (tmp_path / "mail" / "A").write_text(message("new").replace("12:00:00", "12:00:01"))  # as long as "one"
    with store.open(INBOX) as mailbox:
        assert sorted(subjects(mailbox).values()) == ["one", "three", "two"]


@pytest.mark.parametrize("path", ["mail/INBOX", "mail/A", "mail/.pillarbox/move"])
def test_a_move_that_does_not_get_all_locks_does_nothing(tmp_path: Path, box: Path, path: str) -> None:
    store = account(box)
    store.create("A")
    with store.open(INBOX) as mailbox:
        before = subjects(mailbox)
        with held("dot", tmp_path / path), patience.waiting(0.01), pytest.raises(MailboxBusy):
            mailbox.move((1,), "A")
        mailbox.refresh()
        assert subjects(mailbox) == before
    assert store.status("A").messages == 0


def test_an_inbox_outside_the_folders_is_used(tmp_path: Path) -> None:
    spool = tmp_path / "spool-user"
    spool.write_text(message("one"))
    store = open_store(f"mbox:{tmp_path}/folders:INBOX={spool}")
    store.create("Saved")
    with store.open(INBOX) as inbox:
        inbox.move([1], "Saved")
    assert spool.read_text() == ""
    with store.open("Saved") as saved:
        assert subjects(saved) == {1: "one"}


def test_a_lost_index_costs_uids_not_mail(box: Path) -> None:
    with account(box).open(INBOX) as inbox:
        validity = inbox.uid_validity
    (box.parent / ".pillarbox" / "INBOX.index").write_bytes(b"\x00rubbish")
    with account(box).open(INBOX) as inbox:
        assert inbox.uid_validity > validity
        assert list(subjects(inbox).values()) == ["one", "two", "three"]


def test_mail_appended_between_a_crash_and_recovery_is_kept(tmp_path: Path) -> None:
    path, note = tmp_path / "box", str(tmp_path / "journal")
    path.write_bytes(b"keep-" + b"old" * 10)
    fd = os.open(path, os.O_RDWR)
    journal._write_journal(fd, note, 5, [b"new"])  # the process dies here
    with path.open("ab") as file:
        file.write(b"+appended")
    assert journal.recover(fd, note)
    assert path.read_bytes() == b"keep-new+appended"
    assert not journal.recover(fd, note)
    os.close(fd)


def test_mail_appended_after_the_cut_is_kept(tmp_path: Path) -> None:
    path, note = tmp_path / "box", str(tmp_path / "journal")
    path.write_bytes(b"keep-" + b"old" * 10)
    fd = os.open(path, os.O_RDWR)
    journal._write_journal(fd, note, 5, [b"new"])
    path.write_bytes(b"keep-new" + b"+appended" * 10)  # it died after the cut, and others wrote much
    journal.recover(fd, note)
    assert path.read_bytes() == b"keep-new" + b"+appended" * 10
    os.close(fd)


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_that_do_not_overlap(data: bytes) -> None:
    position = 0
    for found in find_messages(data, 0, len(data)):
        assert position <= found.offset <= found.start <= found.end <= found.next <= len(data)
        position = found.next
        examine(data, found)


@given(st.lists(st.text("ab\n>F", max_size=20), max_size=5))
def test_messages_written_are_messages_found(bodies: list[str]) -> None:
    data = "".join(message("x", body + "\n") for body in bodies).encode()
    assert len(list(find_messages(data, 0, len(data)))) == len(bodies)


def test_a_note_of_an_append_that_a_power_loss_brings_back_undoes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"mbox:{tmp_path}/mail")
    store.append(INBOX, [b"Subject: 1\r\n\r\n"])
    with monkeypatch.context() as patch:
        patch.setattr(append, "remove", lambda path: None)
        assert store.append(INBOX, [b"Subject: 2\r\n\r\n"]).uid == 2
    assert list(tmp_path.rglob("*.append"))
    with open_store(f"mbox:{tmp_path}/mail").open(INBOX) as inbox:
        assert list(inbox.messages.uids) == [1, 2]
    assert not list(tmp_path.rglob("*.append"))


def test_under_given_uids_the_note_is_on_the_disk_before_the_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power loss between messages and index leaves messages that are stored again."""
    synced: list[str] = []

    def fsync(fd: int, real: Callable[[int], None] = os.fsync) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        real(fd)

    filling = open_store(f"mbox:{tmp_path}/mail").restoring(INBOX, Identity(77, 10))
    monkeypatch.setattr(os, "fsync", fsync)
    assert filling.put([Kept(7, Delivery(lambda: [b"Subject: 7\r\n\r\n"]))]) == [None]
    note = next(number for number, name in enumerate(synced) if ".append." in name)
    assert note < synced.index("INBOX") and synced[note + 1] == ".pillarbox"
