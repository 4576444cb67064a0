"""Mailboxes that were put back from a backup give no UID twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.index import cache_file
from pillarbox.lib.store.index.cache_uids import highest_uid
from pillarbox.lib.store.interface import INBOX, Mailbox, Store
from tests.commands.running import run
from tests.feeding import truncations

Reopen = Callable[[], Store]
LIST = "dovecot-uidlist"


def add(store: Store, *subjects: str) -> list[int]:
    return [store.append(INBOX, [f"Subject: {subject}\r\n\r\n".encode()]).uid for subject in subjects]


def known(store: Store) -> dict[int, str]:
    with store.open(INBOX) as inbox:
        return subjects(inbox)


def subjects(inbox: Mailbox) -> dict[int, str]:
    found = {}
    for uid in inbox.messages.uids:
        with inbox.read(uid) as content:
            found[uid] = content.header().decode()[9:-4]
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Maildir with three messages whose UID list is of the time of the first two, while the index knows five UIDs."""
    place = tmp_path / "mail"
    store = open_store(f"maildir:{place}")
    add(store, "one", "two")
    assert known(store) == {1: "one", 2: "two"}
    shutil.copy(place / LIST, tmp_path / "backup")
    add(store, "three", "four", "five")
    with store.open(INBOX) as inbox:
        inbox.expunge([4, 5])
    store.close()
    (place / LIST).unlink()
    shutil.copy(tmp_path / "backup", place / LIST)
    return place


def test_an_older_uid_list_goes_on_above_what_the_index_knows(root: Path) -> None:
    store = open_store(f"maildir:{root}")
    before = store.status(INBOX).uid_validity
    assert known(store) == {1: "one", 2: "two", 3: "three"}
    assert add(store, "six") == [6]
    assert store.status(INBOX).uid_validity == before
    assert known(open_store(f"maildir:{root}")) == {1: "one", 2: "two", 3: "three", 6: "six"}
    (root / "pillarbox-index").unlink()  # it is all in the list now
    assert known(open_store(f"maildir:{root}")) == {1: "one", 2: "two", 3: "three", 6: "six"}


def test_what_is_stored_before_anybody_looks_gets_a_uid_above_too(root: Path) -> None:
    store = open_store(f"maildir:{root}")
    assert add(store, "six") == [6]
    assert known(store) == {1: "one", 2: "two", 3: "three", 6: "six"}


def test_a_session_that_is_open_meanwhile_sees_the_same_messages(tmp_path: Path) -> None:
    place = tmp_path / "mail"
    store = open_store(f"maildir:{place}")
    add(store, "one")
    with store.open(INBOX) as inbox:
        shutil.copy(place / LIST, tmp_path / "backup")
        add(store, "two", "three")
        inbox.refresh()
        (place / LIST).unlink()
        shutil.copy(tmp_path / "backup", place / LIST)
        assert add(open_store(f"maildir:{place}"), "four") == [4]
        changes = inbox.refresh()
        assert not changes.uid_validity_changed and not changes.expunged
        assert subjects(inbox) == {1: "one", 2: "two", 3: "three", 4: "four"}


def test_a_message_that_came_back_with_the_backup_is_a_new_one(root: Path) -> None:
    """Clients have been told that it is gone."""
    store = open_store(f"maildir:{root}")
    with store.open(INBOX) as inbox:
        path = next(path for path in (root / "cur").iterdir() if b"two" in path.read_bytes())
        kept = path.read_bytes()
        inbox.expunge([2])
    shutil.copy(root.parent / "backup", root / "again")
    (root / "again").rename(root / LIST)
    path.write_bytes(kept)
    found = known(open_store(f"maildir:{root}"))
    assert found == {1: "one", 3: "three", max(found): "two"} and max(found) >= 6


def test_where_another_program_has_given_a_uid_again_all_are_numbered_anew(root: Path) -> None:
    (root / "cur" / "9.other:2,").write_bytes(b"Subject: other\n\n")
    with open(root / LIST, "a") as listed:
        listed.write("3 :9.other\n")
    before = int((root / LIST).read_text().split(" ")[1][1:])
    store = open_store(f"maildir:{root}")
    found = known(store)
    assert sorted(found.values()) == ["one", "other", "three", "two"]
    assert store.status(INBOX).uid_validity > before
    assert known(open_store(f"maildir:{root}")) == found


@pytest.mark.parametrize("verb", ["verify", "repair"])
def test_verify_tells_and_repair_mends_an_older_uid_list(root: Path, verb: str) -> None:
    from pillarbox.commands.pillarbox import main

    said = run(main, "mailbox", verb, f"maildir:{root}")
    assert said.status == (65 if verb == "verify" else 0) and "older than the index" in said.out
    # A look at the messages, as a client takes, is enough for what can be mended without being told.
    assert run(main, "mailbox", "repair", f"maildir:{root}").status == 0
    assert run(main, "mailbox", "verify", f"maildir:{root}").status == 0
    store = open_store(f"maildir:{root}")
    assert known(store) == {1: "one", 2: "two", 3: "three"} and add(store, "six") == [6]


def test_uids_are_left_out_when_somebody_says_that_it_was_put_back(store: Store, reopen: Reopen) -> None:
    """In every store: where all of it is of one time nothing can be seen in the files."""
    add(store, "one", "two")
    with store.open(INBOX) as session:
        store.leave_out_uids(INBOX, 1000)
        before = session.uid_validity
        assert not session.refresh().uid_validity_changed
    assert reopen().status(INBOX).uid_next == 1003
    assert add(reopen(), "three") == [1003]
    assert known(reopen()) == {1: "one", 2: "two", 1003: "three"}
    assert reopen().status(INBOX).uid_validity == before


def test_repair_restored_does_it_for_all_mailboxes(tmp_path: Path) -> None:
    from pillarbox.commands.pillarbox import main

    for kind in ("maildir", "mbox", "sqlite"):
        location = f"{kind}:{tmp_path}/{kind}"
        store = open_store(location)
        store.create("Work")
        add(store, "one")
        assert run(main, "mailbox", "verify", location, "--restored").status == 64
        said = run(main, "mailbox", "repair", location, "--restored")
        assert said.status == 0 and said.out.count("65536 UIDs are left out") == 2
        assert add(open_store(location), "two") == [65538]
        assert open_store(location).append("Work", [b"\r\n"]).uid == 65537
        assert run(main, "mailbox", "verify", location).status == 0


def test_a_sqlite_file_that_is_older_than_its_cache_is_found_and_mended(tmp_path: Path) -> None:
    from pillarbox.commands.pillarbox import main

    location = f"sqlite:{tmp_path}/mail.sqlite"
    store = open_store(location)
    add(store, "one")
    store.close()
    shutil.copy(tmp_path / "mail.sqlite", tmp_path / "backup")
    store = open_store(location)
    add(store, "two", "three")
    with store.open(INBOX) as inbox:
        for uid in inbox.messages.uids:
            inbox.cache.put("envelope", uid, b"(NIL)")
        inbox.cache.flush()
        validity = inbox.uid_validity
    store.close()
    assert run(main, "mailbox", "verify", location).status == 0
    for path in tmp_path.glob("mail.sqlite-*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "mail.sqlite")
    said = run(main, "mailbox", "verify", location)
    assert said.status == 65 and "UID 3 was given, and the next one is 2" in said.out
    assert run(main, "mailbox", "repair", location).status == 0
    assert run(main, "mailbox", "verify", location).status == 0
    store = open_store(location)
    assert store.status(INBOX).uid_validity == validity
    (uid,) = add(store, "four")
    assert uid > 3
    with store.open(INBOX) as inbox:
        assert inbox.cache.get("envelope", uid) is None


def test_a_cache_that_is_none_knows_no_uid(tmp_path: Path) -> None:
    place = str(tmp_path / "cache")
    assert highest_uid(place, 1) == 0
    whole = cache_file.new_header(1) + cache_file.record(7, 1, b"x")
    for data in (*truncations(whole), b"\0" * 100, whole[:-1] + b"y"):
        (tmp_path / "cache").write_bytes(data)
        assert highest_uid(place, 1) == 0
    (tmp_path / "cache").write_bytes(whole)
    assert (highest_uid(place, 1), highest_uid(place, 2)) == (7, 0)
