"""Maildir beside other programs: mutt and procmail writing into it, mailboxes adopted from Dovecot and Courier."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store import mutf7, open_store
from pillarbox.lib.store.interface import DELETED, FLAGGED, INBOX, SEEN, Store
from pillarbox.lib.store.maildir import filename, folders, keywords, uidlist
from pillarbox.lib.store.maildir.scan import Directories

TEXT = b"Subject: x\n\nbody\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "mail"
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    return path


def account(root: Path) -> Store:
    return open_store(f"maildir:{root}")


def put(root: Path, name: str, where: str = "new") -> Path:
    path = root / where / name
    path.write_bytes(TEXT)
    return path


def test_mail_that_another_program_delivers_is_numbered_in_order_of_delivery(root: Path) -> None:
    for name in ("1700000002.1_0.host", "1700000001.M5P1.host", "1700000001.M4P9.host"):
        put(root, name)
    with account(root).open(INBOX) as inbox:
        assert [message.uid for message in inbox.messages] == [1, 2, 3]
        assert all(message.recent for message in inbox.messages)
    assert sorted(path.name for path in (root / "cur").iterdir()) == [
        "1700000001.M4P9.host:2,",
        "1700000001.M5P1.host:2,",
        "1700000002.1_0.host:2,",
    ]


def test_another_program_renaming_a_message_changes_its_flags_not_its_uid(root: Path) -> None:
    put(root, "1.M1P1.h:2,", "cur")
    put(root, "2.M1P1.h:2,S", "cur")
    with account(root).open(INBOX) as inbox:
        (root / "cur" / "1.M1P1.h:2,").rename(root / "cur" / "1.M1P1.h:2,FS")
        changes = inbox.refresh()
        assert [(state.uid, state.flags) for state in changes.changed] == [(1, FLAGGED | SEEN)]
        (root / "cur" / "1.M1P1.h:2,FS").rename(root / "cur" / "1.M1P1.h:2,FRS")
        (state,) = inbox.set_flags([1], "add", DELETED).states
        assert state.flags & DELETED and state.flags & FLAGGED
        with inbox.read(1) as content:
            assert content.read() == TEXT.replace(b"\n", b"\r\n")


def test_a_message_that_comes_back_gets_a_new_uid(root: Path) -> None:
    path = put(root, "1.M1P1.h:2,", "cur")
    with account(root).open(INBOX) as inbox:
        path.rename(root / "aside")
        assert inbox.refresh().expunged == (1,)
        (root / "aside").rename(path)
        assert [state.uid for state in inbox.refresh().new] == [2]
    with account(root).open(INBOX) as inbox:
        assert [message.uid for message in inbox.messages] == [2]


def test_what_other_programs_keep_in_the_flags_is_kept(root: Path) -> None:
    put(root, "1.M1P1.h:2,S,x=1", "cur")
    with account(root).open(INBOX) as inbox:
        inbox.set_flags([1], "add", FLAGGED)
    assert [path.name for path in (root / "cur").iterdir()] == ["1.M1P1.h:2,FS,x=1"]


def test_a_dovecot_list_is_adopted_with_uids_sizes_uidls_and_keywords(root: Path) -> None:
    put(root, "10.M1P1.h,S=17,W=20:2,Sa", "cur")
    put(root, "11.M1P1.h:2,", "cur")
    put(root, "12.M1P1.h")
    (root / "dovecot-uidlist").write_text(
        "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n"
        "25006 :10.M1P1.h,S=17,W=20:2,\n25017 W20 Pold-uidl :11.M1P1.h:2,F\n25018 :gone.M1P1.h\n"
    )
    (root / "dovecot-keywords").write_text("0 $Junk\n")
    with account(root).open(INBOX) as inbox:
        assert inbox.uid_validity == 1275660208
        assert [message.uid for message in inbox.messages] == [25006, 25017, 25022]
        assert inbox.messages[0].keywords == {"$Junk"}
        assert inbox.pop3_uidl(25017) == "old-uidl"
        assert inbox.size(25017) == 20
        assert inbox.uid_next == 25023
    assert (root / "dovecot-uidlist").read_text().endswith("25022 :12.M1P1.h\n")


def test_a_version_1_list_is_adopted_and_written_as_version_3(root: Path) -> None:
    put(root, "10.M1P1.h:2,", "cur")
    put(root, "11.M1P1.h")
    (root / "dovecot-uidlist").write_text("1 1275660208 8\n7 10.M1P1.h:2,\n")
    with account(root).open(INBOX) as inbox:
        assert [message.uid for message in inbox.messages] == [7, 8]
    assert (root / "dovecot-uidlist").read_text() == "3 V1275660208 N9\n7 :10.M1P1.h\n8 :11.M1P1.h\n"


def test_a_list_cut_off_by_a_power_loss_is_written_anew(root: Path) -> None:
    for number in (10, 11, 12):
        put(root, f"{number}.M1P1.h:2,", "cur")
    (root / "dovecot-uidlist").write_text("3 V5 N1\n1 :10.M1P1.h\n2 :11.M1P")
    with account(root).open(INBOX) as inbox:
        assert [message.uid for message in inbox.messages] == [1, 2, 3]
    parsed = uidlist.read(str(root / "dovecot-uidlist"))
    assert parsed is not None and not parsed.damaged
    assert parsed.uids == {"10.M1P1.h": 1, "11.M1P1.h": 2, "12.M1P1.h": 3}


def test_a_list_that_is_none_gets_a_new_uid_validity(root: Path) -> None:
    put(root, "10.M1P1.h:2,", "cur")
    (root / "dovecot-uidlist").write_bytes(b"\x00\xffrubbish\n")
    with account(root).open(INBOX) as inbox:
        assert [message.uid for message in inbox.messages] == [1]
        assert inbox.uid_validity > 5


def test_a_size_in_the_name_that_the_file_denies_is_not_believed(root: Path) -> None:
    put(root, "10.M1P1.h,S=5,W=6:2,", "cur")
    with account(root).open(INBOX) as inbox, inbox.read(1) as content:
        assert content.size == len(TEXT) + 3
        assert inbox.size(1) == len(TEXT) + 3


def test_vanished_messages_leave_the_list_in_time(root: Path) -> None:
    lines = "".join(f"{uid} :{uid}.M1P1.h\n" for uid in range(1, 1001))
    (root / "dovecot-uidlist").write_text("3 V5 N1001\n" + lines)
    put(root, "7.M1P1.h:2,", "cur")
    with account(root).open(INBOX) as inbox:
        assert inbox.uid_next == 1001
    assert (root / "dovecot-uidlist").read_text() == "3 V5 N1001\n7 :7.M1P1.h\n"


def test_a_subscription_file_of_either_version_is_read() -> None:
    assert folders.parse_subscriptions("INBOX\nLists.foo\nEntw&APw-rfe\n") == ("INBOX", "Lists/foo", "Entwürfe")
    assert folders.parse_subscriptions("V\t2\n\nLists\tfoo\nEntw&APw-rfe\n") == ("Lists/foo", "Entwürfe")


def test_a_message_file_that_is_a_link_is_not_followed(root: Path) -> None:
    (root / "secret").write_text("secret")
    (root / "cur" / "10.M1P1.h:2,").symlink_to(root / "secret")
    with account(root).open(INBOX) as inbox, pytest.raises(Exception, match="cannot open message"):
        inbox.read(1)


# --- parsers


@given(st.binary(max_size=300))
def test_any_bytes_are_a_uid_list_or_none(data: bytes) -> None:
    result = uidlist.parse(data)
    assert result is None or result.next_uid > max(result.uids.values(), default=0)


LIST = b"3 V17 N3 Gabc\n3 W5 :a,S=4:2,S\n4 :b\n9 P1 S4 :c d\n"


@pytest.mark.parametrize("cut", range(len(LIST) + 1))
def test_a_list_read_in_two_parts_is_the_same_list_or_known_as_damaged(cut: int) -> None:
    whole = uidlist.parse(LIST)
    first = uidlist.parse(LIST[:cut])
    if first is None or first.damaged:
        return
    uidlist.parse_more(first, LIST[cut:])
    assert first == whole


@given(st.text(max_size=40))
def test_names_survive_modified_utf7(name: str) -> None:
    try:
        encoded = mutf7.encode(name)
        assert encoded.isascii()
        assert mutf7.decode(encoded) == name
    except UnicodeError:
        assert any("\ud800" <= character <= "\udfff" for character in name)


@given(st.text(max_size=40))
def test_any_name_on_disk_can_be_listed(name: str) -> None:
    mutf7.decode(name)
    folders.mailbox_name(name)


@given(st.integers(0, 31), st.text("abcdefghijklmnopqrstuvwxyz", max_size=5), st.text("DFRSTabz,=", max_size=10))
def test_flags_survive_the_file_name(flags: int, letters: str, anything: str) -> None:
    info = filename.parse_info(filename.format_info(flags, letters))
    assert (info.flags, set(info.keyword_letters), info.rest) == (flags, set(letters), "")
    filename.parse_info(anything)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_keyword_file(data: bytes) -> None:
    names = keywords.parse(data)
    assert keywords.parse(keywords.serialize(names)) == {k: v for k, v in names.items() if "\n" not in v}


def test_a_maildir_begun_by_another_program_is_completed(tmp_path: Path) -> None:
    os.makedirs(tmp_path / "mail" / ".Half")
    store = open_store(f"maildir:{tmp_path}/mail")
    with store.open("Half") as mailbox:
        assert list(mailbox.messages) == []


def test_directories_that_never_rest_miss_nothing_that_was_seen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """readdir(3) may leave out what is being renamed, and a message that is missed would come back as a new one."""
    looks = iter([({b"n"}, {b"a:2,", b"b:2,"}), (set(), {b"b:2,S", b"n:2,"}), (set(), {b"c:2,", b"n:2,"})] * 5)
    stamps = iter(range(100))
    directories = Directories("nowhere")
    monkeypatch.setattr(Directories, "stamps", lambda _: (next(stamps), 0))
    monkeypatch.setattr(Directories, "list_both", lambda _: next(looks))
    fresh, present = directories.list_quietly()
    assert fresh == set()
    assert present == {b"a:2,", b"b:2,S", b"c:2,", b"n:2,"}
