"""The file that says what a mailbox of a database looked like: with it, a view is what it is without it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import DELETED, FLAGGED, INBOX, SEEN, Mailbox, Store
from pillarbox.lib.store.sql import columns, tables
from pillarbox.lib.store.sql.mailbox import COLUMNS
from tests.feeding import truncations
from tests.store.conftest import close_pools, location, use_postgresql


@pytest.fixture(params=["sqlite", "pgsql"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    if request.param == "pgsql":
        use_postgresql(request.getfixturevalue("postgresql"))
    opened: list[Store] = []

    def again() -> Store:
        opened.append(open_store(location(request.param, tmp_path / "mail")))
        return opened[-1]

    yield again
    for store in opened:
        store.close()
    close_pools()


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are made of small mailboxes, at once, whenever something has changed."""
    monkeypatch.setattr(columns, "worth_keeping", lambda row, changes: changes > 0)


def seen_of(mailbox: Mailbox) -> list[object]:
    """All that a view tells."""
    with mailbox:
        states = mailbox.messages
        told: list[object] = [mailbox.uid_next, mailbox.highest_modseq, sorted(mailbox.keywords), states.counts()]
        return [*told, *states, *(mailbox.size(each.uid) for each in states), *states.dates()]


def without(store: Store, name: str) -> list[object]:
    """What a view tells that has read everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "load", lambda path, validity: None)
        patch.setattr(columns, "worth_keeping", lambda row, changes: False)
        return seen_of(store.open(name, read_only=True))


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{COLUMNS}"))


def letter(number: int) -> bytes:
    return f"Subject: {number}\r\n\r\n{'x' * number}\r\n".encode()


def fill(store: Store, count: int = 6) -> None:
    for number in range(count):
        store.append(INBOX, [letter(number)], SEEN * (number % 2), {"one"} if number % 3 else {"two", "three"})


@pytest.mark.usefixtures("always")
def test_after_any_steps_a_view_is_the_same_with_and_without_it(
    reopen: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(str(reopen().list()))
    store, used = reopen(), []
    load = columns.load
    monkeypatch.setattr(columns, "load", lambda *where: used.append(load(*where)) or used[-1])
    store.create("Work")
    for _ in range(60):
        name = chance.choice((INBOX, INBOX, "Work"))
        with store.open(name) as mailbox:
            uids = [each.uid for each in mailbox.messages if chance.random() < 0.3]
            match chance.choice(("append", "append", "flags", "flags", "expunge", "move", "copy", "drop")):
                case "append":
                    store.append(name, [letter(chance.randrange(50))], chance.choice((0, SEEN, FLAGGED)), {"k"})
                case "flags":
                    how = chance.choice(("add", "remove", "replace"))
                    words = chance.choice((set(), {"a"}, {"b", "c"}))
                    mailbox.set_flags(uids, how, chance.choice((SEEN, DELETED, FLAGGED)), words)  # type: ignore[arg-type]
                case "expunge":
                    mailbox.expunge(uids)
                case "drop" if chance.random() < 0.2:
                    if chance.random() < 0.5:
                        tables_forget(store, monkeypatch)
                    elif name == "Work":
                        store.delete("Work")
                        store.create("Work")
                case "copy":
                    mailbox.copy(uids, INBOX)
                case _:
                    mailbox.move(uids, "Work" if name == INBOX else INBOX)
        for each in (INBOX, "Work"):
            expected = without(store, each)
            assert seen_of(store.open(each, read_only=True)) == expected
            assert seen_of(reopen().open(each, read_only=chance.random() < 0.5))[:3] == expected[:3]
    assert sum(each is not None for each in used) > 30, "it was used"


def tables_forget(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expunges of so far are no longer known one by one."""
    with monkeypatch.context() as patch, store.open(INBOX) as inbox:
        patch.setattr(tables, "_EXPUNGED_KEPT", -(1 << 20))
        store.append(INBOX, [letter(1)])
        inbox.refresh()
        inbox.expunge([inbox.messages[-1].uid])


@pytest.mark.usefixtures("always")
def test_one_that_is_damaged_is_not_used(reopen: Callable[[], Store], tmp_path: Path) -> None:
    store = reopen()
    fill(store)
    expected = without(store, INBOX)
    seen_of(store.open(INBOX, read_only=True))
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    garbled = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for data in (*list(truncations(whole))[:: max(1, len(whole) // 40)], *garbled, b"", b"\0" * 100):
        file.write_bytes(data)
        assert seen_of(store.open(INBOX, read_only=True)) == expected
    file.unlink()
    file.mkdir()
    assert seen_of(store.open(INBOX, read_only=True)) == expected


@given(st.binary(max_size=300))
def test_no_content_is_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "columns"
    path.write_bytes(data)
    assert columns.load(str(path), 1) is None


@pytest.mark.usefixtures("always")
def test_it_goes_with_its_mailbox(reopen: Callable[[], Store], tmp_path: Path) -> None:
    store = reopen()
    store.create("Work")
    store.append("Work", [letter(1)])
    seen_of(store.open("Work"))
    assert len(files(tmp_path)) == 1
    store.delete("Work")
    assert files(tmp_path) == []


@pytest.mark.usefixtures("always")
def test_that_of_another_state_of_the_database_is_not_used(tmp_path: Path) -> None:
    """A backup was put back, and the caches were forgotten."""
    place = f"sqlite:{tmp_path}/mail.sqlite"
    store = open_store(place)
    fill(store)
    store.close()
    shutil.copy(tmp_path / "mail.sqlite", tmp_path / "backup")
    store = open_store(place)
    store.append(INBOX, [letter(40)])
    seen_of(store.open(INBOX))
    store.close()
    shutil.copy(tmp_path / "backup", tmp_path / "mail.sqlite")
    store = open_store(place)
    for _ in range(2):
        assert seen_of(store.open(INBOX, read_only=True)) == without(store, INBOX)
        store.append(INBOX, [letter(7)])
    store.close()


def test_what_a_power_loss_may_take_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "FEW", 0)
    store = open_store(f"sqlite:{tmp_path}/mail.sqlite")
    fill(store)
    seen_of(store.open(INBOX))
    assert files(tmp_path) == [], "it has just changed"
    monkeypatch.setattr(columns, "SETTLED", -5.0)
    seen_of(store.open(INBOX))
    (file,) = files(tmp_path)
    assert columns.load(str(file), store.status(INBOX).uid_validity) is not None
    monkeypatch.setattr(columns, "_boot", lambda: "another")
    assert columns.load(str(file), store.status(INBOX).uid_validity) is None
    store.close()
