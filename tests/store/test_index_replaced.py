"""A mailbox, or its UID list, that is another one under an open session; lists that cannot be written."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import (
    INBOX,
    SEEN,
    Mailbox,
    MailboxBusy,
    MailboxNotFound,
    MessageGone,
    Store,
    StoreError,
)
from pillarbox.lib.store.locks import dot_lock
from pillarbox.lib.store.maildir import keywords, transfer, uidlist
from pillarbox.lib.store.maildir import state as uid_state
from pillarbox.lib.store.maildir import store as maildir_store
from pillarbox.lib.store.maildir.ledger import Ledger
from pillarbox.lib.store.maildir.mailbox import MaildirMailbox
from pillarbox.lib.store.quota import Quota

FOLDER = "Folder"


def letter(subject: str) -> list[bytes]:
    return [f"Subject: {subject}\r\n\r\n{subject}\r\n".encode()]


def account(tmp_path: Path) -> Store:
    return open_store(f"maildir:{tmp_path / 'mail'}")


def subjects(mailbox: Mailbox) -> list[tuple[int, str]]:
    found = []
    for state in mailbox.messages:
        with mailbox.read(state.uid) as content:
            found.append((state.uid, content.header().decode()[9:-4]))
    return found


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_session_touches_no_message_of_the_mailbox_that_took_the_place_of_its_own(
    tmp_path: Path, looked_at: bool
) -> None:
    store, other = account(tmp_path), account(tmp_path)
    store.create(FOLDER)
    store.append(FOLDER, letter("old"))
    with store.open(FOLDER) as session:
        other.delete(FOLDER)
        other.create(FOLDER)
        other.append(FOLDER, letter("new"))
        if looked_at:
            other.open(FOLDER).close()
        with pytest.raises(MessageGone):
            session.read(1)
        with pytest.raises(MailboxNotFound):
            session.set_flags([1], "add", SEEN)
        with pytest.raises(MailboxNotFound):
            session.move([1], INBOX)
        with pytest.raises(MailboxNotFound):
            session.expunge([1])
        assert session.copy([1], INBOX).uids == ()
        assert session.refresh().uid_validity_changed
    with other.open(FOLDER) as mailbox:
        assert subjects(mailbox) == [(1, "new")]
        assert [state.flags for state in mailbox.messages] == [0]


def test_what_one_session_finds_out_is_not_said_of_the_messages_of_another_mailbox(tmp_path: Path) -> None:
    store, other = account(tmp_path), account(tmp_path)
    store.create(FOLDER)
    path = tmp_path / "mail" / f".{FOLDER}" / "cur" / "1.M1P1.h:2,"
    path.write_bytes(b"Subject: short\n\n")
    session = store.open(FOLDER)
    assert session.size(1) == len(b"Subject: short\r\n\r\n")
    other.delete(FOLDER)
    other.create(FOLDER)
    path.write_bytes(b"Subject: a much longer one\n\n")
    with other.open(FOLDER) as mailbox:
        session.close()
        mailbox.refresh()
        assert mailbox.size(1) == len(b"Subject: a much longer one\r\n\r\n")


def test_uids_that_could_not_be_written_down_are_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = account(tmp_path), account(tmp_path)
    store.append(INBOX, letter("one"))

    def full(path: str, data: object, bases: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(uidlist, "append", full)
        with pytest.raises(StoreError):
            store.append(INBOX, letter("lost"))
    uid = other.append(INBOX, letter("two")).uid
    assert store.append(INBOX, letter("three")).uid == uid + 1
    with store.open(INBOX) as inbox:
        assert subjects(inbox) == [(1, "one"), (uid, "two"), (uid + 1, "three")]


def test_a_list_with_the_inode_of_one_that_was_replaced_is_read_as_a_whole(tmp_path: Path) -> None:
    store = account(tmp_path)
    for _ in range(3):
        store.append(INBOX, letter("gone"))
    path = tmp_path / "mail" / uidlist.NAME
    names = uidlist.read(str(path))
    assert names is not None
    # As after two renames, by which the number of the first file's inode has come back.
    for place in (tmp_path / "mail" / "new").iterdir():
        place.unlink()
    uids = range(4, 40)
    path.write_text(f"3 V{names.uid_validity} N40 G{names.guid}\n" + "".join(f"{uid} :{uid}.M1P1.h\n" for uid in uids))
    for uid in uids:
        (tmp_path / "mail" / "cur" / f"{uid}.M1P1.h:2,").write_bytes(b"Subject: more\n\n")
    assert store.append(INBOX, letter("one")).uid == 40
    with store.open(INBOX) as inbox:
        assert list(inbox.messages.uids) == [*uids, 40]
    again = uidlist.read(str(path))
    assert again is not None and again.uids["5.M1P1.h"] == 5


@pytest.mark.parametrize("more", ["", "2 :2.M1P1.h\n"])
def test_a_list_of_another_mailbox_with_the_same_inode_is_read_as_a_whole(tmp_path: Path, more: str) -> None:
    store = account(tmp_path)
    store.append(INBOX, letter("one"))
    path = tmp_path / "mail" / uidlist.NAME
    names = uidlist.read(str(path))
    assert names is not None
    (base,) = names.uids
    other = f"{(names.uid_validity + 5)} N1 G{'f' * 32}"
    path.write_text(f"3 V{other}\n1 :{'x' * len(base)}\n{more}")  # deleted and made anew under an open account
    appended = store.append(INBOX, letter("two"))
    assert appended.uid_validity == names.uid_validity + 5
    again = uidlist.read(str(path))
    assert again is not None and again.uids["x" * len(base)] == 1


def test_a_new_number_that_another_server_gave_replaces_the_old_one(tmp_path: Path) -> None:
    store = account(tmp_path)
    store.append(INBOX, letter("one"))
    with store.open(INBOX) as inbox:
        path = tmp_path / "mail" / uidlist.NAME
        names = uidlist.read(str(path))
        assert names is not None
        (base,) = names.uids
        with open(path, "a") as file:
            file.write(f"2 :{base}\n")  # Dovecot: expunged message reappeared, giving a new UID
        os.utime(tmp_path / "mail" / "cur")
        changes = inbox.refresh()
        assert (changes.expunged, [state.uid for state in changes.new]) == ((1,), [2])
        assert subjects(inbox) == [(2, "one")]


def test_a_full_disk_keeps_nobody_out_whose_list_would_be_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = account(tmp_path)
    store.append(INBOX, letter("one"))
    path = tmp_path / "mail" / uidlist.NAME
    with open(path, "a") as file:
        file.write("".join(f"{uid} :{uid}.M1P1.h\n" for uid in range(2, 400)))

    def full(path: str, data: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(uidlist, "rewrite", full)
    with store.open(INBOX) as inbox:
        assert subjects(inbox) == [(1, "one")]
        assert inbox.expunge([1]) == (1,)
    assert len(path.read_bytes().splitlines()) == 400


def test_a_keyword_that_could_not_be_written_down_has_no_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = account(tmp_path)
    store.append(INBOX, letter("one"))

    def full(path: str, data: object, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.open(INBOX) as inbox:
        with monkeypatch.context() as patch:
            patch.setattr(keywords, "write_file", full)
            with pytest.raises(StoreError):
                inbox.set_flags([1], "add", 0, ["lost"])
        inbox.set_flags([1], "add", 0, ["lost"])
    with account(tmp_path).open(INBOX) as inbox:
        assert [state.keywords for state in inbox.messages] == [{"lost"}]


def test_modification_sequences_go_up_though_the_index_is_lost_and_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = account(tmp_path)
    store.append(INBOX, letter("one"))
    with store.open(INBOX) as inbox:
        inbox.set_flags([1], "add", SEEN)
        told = inbox.highest_modseq
    (tmp_path / "mail" / "pillarbox-index").unlink()
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 3600 * 10**9)
    with account(tmp_path).open(INBOX) as inbox:
        assert inbox.highest_modseq > told
        assert [state.uid for state in inbox.changed_since(told).changed] == [1]


def test_a_message_that_is_stored_is_not_refused_because_it_cannot_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"maildir:{tmp_path / 'mail'}", Quota())
    store.append(INBOX, letter("one"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Ledger, "add", full)
    assert store.append(INBOX, letter("two")).uid == 2


def test_a_message_that_another_program_renames_under_a_move_is_moved_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = account(tmp_path)
    for number in range(3):
        store.append(INBOX, letter(str(number)))
    cur = tmp_path / "mail" / "cur"

    def by_another(uid: int) -> None:
        """Rename the file of a message, as mutt does."""
        (old,) = (path for path in cur.iterdir() if path.name.encode() == inbox._row(uid).name)
        old.rename(f"{old}S")

    with store.open(INBOX) as inbox:
        assert isinstance(inbox, MaildirMailbox)
        by_another(1)
        assert inbox.move([1], INBOX).uids == (4,)
        inbox.refresh()
        real = transfer.transfer

        def late(*arguments: Any) -> Any:
            by_another(2)
            return real(*arguments)

        monkeypatch.setattr(transfer, "transfer", late)
        monkeypatch.setattr(uid_state, "dot_lock", lambda path: dot_lock(path, 0.1))
        assert inbox.move([2, 3], INBOX).source_uids == (3,)
        inbox._sync.run(everything=True)  # as is due a second later
        inbox.refresh()
        assert subjects(inbox) == [(2, "1"), (4, "0"), (6, "2")]
    assert len(list(cur.iterdir())) == 3


def test_a_mailbox_is_not_deleted_or_renamed_while_uids_are_given_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = account(tmp_path)
    store.create(FOLDER)
    with monkeypatch.context() as patch:
        patch.setattr(maildir_store, "LOCK_TIMEOUT", 0.05)
        with dot_lock(str(tmp_path / "mail" / f".{FOLDER}" / f"{uidlist.NAME}.lock")):
            with pytest.raises(MailboxBusy):
                store.delete(FOLDER)
            with pytest.raises(MailboxBusy):
                store.rename(FOLDER, "Other")
        assert store.exists(FOLDER) and not store.exists("Other")
    store.rename(FOLDER, "Other")
    assert not list((tmp_path / "mail" / ".Other").glob("*.lock"))
    assert store.append("Other", letter("one")).uid == 1
    store.delete("Other")
    store.create("Other")
    assert store.append("Other", letter("two")).uid == 1


def test_a_mailbox_that_is_deleted_while_its_keywords_are_read_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / keywords.NAME
    path.write_text("0 lost\n")
    real = os.stat

    def late(*arguments: Any, **others: Any) -> os.stat_result:
        about = real(*arguments, **others)
        path.unlink()
        return about

    words = keywords.Keywords(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", late)
        words.reload()
    assert words.names == {}


def test_a_list_that_is_deleted_while_it_is_read_is_no_list(tmp_path: Path) -> None:
    known = uidlist.UidList(5, 3, "a")
    uidlist.read_more(str(tmp_path / uidlist.NAME), known)
    assert known.damaged
