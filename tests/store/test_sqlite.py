"""The file of an SQLite store: full disks, damage, and what happens to it under a running session."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, SEEN, MailboxBusy, MailboxNotFound, OverQuota, StoreUnavailable
from pillarbox.lib.store.patience import Later, in_haste, waiting
from pillarbox.lib.store.sql import sqlite
from pillarbox.lib.store.sql import store as sql_store
from pillarbox.lib.store.sql.sqlite import SqliteDatabase
from pillarbox.lib.store.sql.store import SqlStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box" / "mail.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    made = SqlStore("sqlite:", SqliteDatabase(str(path)))
    yield made
    made.close()


def letter(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\n".encode() + random.Random(subject).randbytes(20_000).replace(b"\n", b".")


@pytest.mark.parametrize("hasty", [True, False])
def test_what_is_done_is_done_where_no_room_can_be_given_back(
    store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch, hasty: bool
) -> None:
    store.create("A")
    store.append("A", [letter("one")])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        # Another one writes, just when the folder is gone.
        monkeypatch.setattr(sql_store, "forget_beside", lambda *_: other.execute("BEGIN IMMEDIATE"))
        if hasty:
            in_haste(partial(store.delete, "A"))
        else:
            with waiting(0.01):
                store.delete("A")
        other.execute("ROLLBACK")
    assert not store.exists("A")


def test_only_the_owner_may_read_it(store: SqlStore, path: Path) -> None:
    store.append(INBOX, [letter("one")])
    for file in path.parent.iterdir():
        if file.is_file():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_full_disk_is_over_quota_and_leaves_nothing_half_written(store: SqlStore) -> None:
    store.append(INBOX, [letter("one")])
    database = store._database
    assert isinstance(database, SqliteDatabase)
    connection = database._connected()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for action in (
        lambda: store.append(INBOX, [letter("two")]),
        lambda: store.append(INBOX, [letter(str(number)) for number in range(60)]),
    ):
        with pytest.raises(OverQuota):
            action()
    (outcome,) = store.deliver([Delivery(lambda: [letter("three")])])
    assert outcome is not None and not outcome.permanent, "a disk gets room again"
    assert store.status(INBOX).messages == 1
    assert list(store.check(mend=False)) == []
    connection.execute("PRAGMA max_page_count = 1000000")
    assert store.append(INBOX, [letter("two")]).uid == 2


def test_a_file_that_is_removed_under_a_session_is_not_written_to(store: SqlStore, path: Path) -> None:
    store.append(INBOX, [letter("one")])
    with store.open(INBOX) as inbox:
        for file in path.parent.glob("mail.sqlite*"):
            if file.is_file():
                file.unlink()
        for action in (inbox.refresh, lambda: inbox.set_flags([1], "add", SEEN), lambda: inbox.read(1)):
            with pytest.raises(StoreUnavailable, match="removed"):
                action()
        with pytest.raises(StoreUnavailable):
            store.append(INBOX, [letter("two")])
        assert not path.exists()


def test_a_file_that_is_replaced_under_a_session_has_another_uid_validity(
    store: SqlStore, path: Path, tmp_path: Path
) -> None:
    store.append(INBOX, [letter("one")])
    with SqlStoreAt(tmp_path / "other") as other:
        other.append(INBOX, [letter("two")])
        with other._database.writing(durable=True) as transaction:  # as if it had been made at another time
            transaction.execute(
                "UPDATE mailboxes SET uid_validity = uid_validity + 5 WHERE account = ?1", transaction.account
            )
    with store.open(INBOX) as inbox:
        for rest in ("-wal", "-shm"):
            os.unlink(f"{path}{rest}")
        os.rename(tmp_path / "other", path)
        assert inbox.refresh().uid_validity_changed
        assert store.status(INBOX).messages == 1


def SqlStoreAt(path: Path) -> Closing:
    return Closing(SqlStore("sqlite:", SqliteDatabase(str(path))))


class Closing:
    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def __enter__(self) -> SqlStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def test_a_damaged_page_fails_what_needs_it(store: SqlStore, path: Path) -> None:
    for number in range(20):
        store.append(INBOX, [letter(f"{number}")])
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:  # the octets of some messages: behind the tables that were made first
        for place in range(size // 2, size // 2 + 100_000, 8192):
            file.seek(place)
            file.write(b"\xff" * 4096)
    good = bad = 0
    with store.open(INBOX) as inbox:
        for uid in inbox.messages.uids:
            try:
                with inbox.read(uid) as content:
                    good += content.read() == letter(f"{uid - 1}")
            except StoreUnavailable:
                bad += 1
    assert good > 0 and bad > 0 and good + bad == 20
    assert any("damaged" in finding.what for finding in store.check(mend=False))


@pytest.mark.parametrize("content", [b"no database at all, but long enough" * 100, b"SQLite format 3\0"])
def test_what_is_no_database_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = open_store(f"sqlite:{path}")
    with pytest.raises(StoreUnavailable):
        store.list()
    store.close()
    assert path.read_bytes() == content


def test_a_file_of_a_newer_suite_is_left_alone(store: SqlStore, path: Path) -> None:
    store.append(INBOX, [letter("one")])
    store.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreUnavailable, match="upgrade it"):
        store.list()


def test_a_writer_that_holds_the_file_for_too_long_is_told_of(
    store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(INBOX, [letter("one")])
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 0.05)
    with SqlStoreAt(path) as other, store._database.writing(durable=True):
        with pytest.raises(MailboxBusy):
            other.append(INBOX, [letter("two")])
        assert other.status(INBOX).messages == 1, "who only reads does not wait"


def test_what_a_deleted_mailbox_had_beside_the_file_goes_with_it(store: SqlStore, path: Path) -> None:
    store.create("Work")
    store.append("Work", [letter("one")])
    with store.open("Work") as work:
        work.cache.put("envelope", 1, b"value")
    beside = [file for file in path.parent.rglob("*") if file.is_file() and ".cache" in str(file.parent)]
    assert len(beside) == 1
    store.delete("Work")
    assert not beside[0].exists()
    with pytest.raises(MailboxNotFound):
        store.open("Work")


def test_room_is_given_back(store: SqlStore, path: Path) -> None:
    store.create("Work")
    for number in range(40):
        store.append("Work", [letter(f"{number}")])
    store.delete("Work")
    with store._database.writing(durable=True) as transaction:
        transaction.execute(
            "UPDATE bodies SET unused_since = 1 WHERE account = ?1 AND unused_since > 0", transaction.account
        )
    store.close()
    before = path.stat().st_size
    store.append(INBOX, [letter("last")])
    with store.open(INBOX) as inbox:
        inbox.expunge([1])
    store.close()
    assert path.stat().st_size < before / 2


def test_who_is_in_haste_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    here, there = (open_store(f"sqlite:{tmp_path}/mail.sqlite") for _ in range(2))
    here.append(INBOX, [b"Subject: one\r\n\r\n"])
    appender = there.begin_append(INBOX)
    appender.write(b"Subject: two\r\n\r\nbody\r\n")
    with there.open(INBOX) as inbox:
        with here._database.writing(durable=True):  # type: ignore[attr-defined]
            for call in (appender.commit, lambda: inbox.set_flags([1], "add", SEEN), lambda: there.create("New")):
                with pytest.raises(Later):
                    in_haste(call)
            with waiting(0.05), pytest.raises(MailboxBusy):
                there.create("New")
        assert in_haste(appender.commit).uid == 2
        in_haste(lambda: inbox.set_flags([1], "add", SEEN))
        in_haste(inbox.refresh)
        with inbox.read(2) as content:
            assert content.read() == b"Subject: two\r\n\r\nbody\r\n"
    for store in (here, there):
        store.close()
