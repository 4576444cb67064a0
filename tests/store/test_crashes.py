"""A process killed at any system call leaves a mailbox that opens again with nothing lost and nothing doubled."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import INBOX, SEEN, Mailbox, Store
from pillarbox.lib.store.keeping import Identity, Kept
from tests.store.conftest import location
from tests.store.dying import dies_at

MOST_CALLS = 400
SUBJECTS = ["one", "two", "three", "four"]


def letter(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\n{subject}\r\n".encode() * 1 + b"body\r\n" * 50


def fill(store: Store) -> None:
    for subject in SUBJECTS:
        store.append(INBOX, [letter(subject)])
    store.create("Away")
    store.append("Away", [letter("old")])
    with store.open(INBOX) as inbox:
        inbox.set_flags([1, 2], "add", SEEN)


def contents(store: Store, name: str) -> list[bytes]:
    with store.open(name) as mailbox:
        found = []
        for message in mailbox.messages:
            with mailbox.read(message.uid) as content:
                found.append(content.read())
        return found


def uids(store: Store, name: str) -> dict[bytes, int]:
    with store.open(name) as mailbox:
        found = {}
        for message in mailbox.messages:
            with mailbox.read(message.uid) as content:
                found[content.read()] = message.uid
        return found


@pytest.fixture
def trial(kind: str, tmp_path: Path) -> Callable[[Callable[[Store], object], Callable[[Store, bool], None]], None]:
    def run(action: Callable[[Store], object], check: Callable[[Store, bool], None]) -> None:
        """Let `action` die at each of its calls in turn; `check` what a fresh process finds."""
        pristine = tmp_path / "pristine"
        if kind != "pgsql":
            store = open_store(location(kind, pristine))
            fill(store)
            store.close()
        for number in range(MOST_CALLS):
            place = tmp_path / (f"mail{number}" if kind == "pgsql" else "mail")
            where = location(kind, place)
            if kind == "pgsql":
                fill(open_store(where))
            else:
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(pristine, place)
            # A first open settles what the copy changed (inodes), so that only the action's own calls are counted.
            for name in (INBOX, "Away"):
                open_store(where).open(name).close()
            ended = dies_at(number, lambda: action(open_store(where)))  # noqa: B023
            check(open_store(where), ended)
            if ended:
                assert number >= 2, "the action made too few calls to have been tested"
                return
        raise AssertionError("the action makes more calls than the test follows")

    return run


Trial = Callable[[Callable[[Store], object], Callable[[Store, bool], None]], None]


def test_a_move_dying_anywhere_leaves_each_message_in_exactly_one_mailbox(trial: Trial) -> None:
    def check(store: Store, ended: bool) -> None:
        away, inbox = contents(store, "Away"), contents(store, INBOX)
        assert sorted(away + inbox) == sorted([letter("old"), *map(letter, SUBJECTS)])
        if ended:
            assert away == [letter("old"), letter("one"), letter("three")]

    trial(lambda store: store.open(INBOX).move([1, 3], "Away"), check)


def test_an_expunge_dying_anywhere_removes_nothing_else(trial: Trial) -> None:
    def check(store: Store, ended: bool) -> None:
        left = uids(store, INBOX)
        assert {letter("two"): 2, letter("four"): 4}.items() <= left.items()
        assert set(left.values()) <= {1, 2, 3, 4}
        assert all(
            left[letter(subject)] == SUBJECTS.index(subject) + 1 for subject in SUBJECTS if letter(subject) in left
        )
        if ended:
            assert set(left.values()) == {2, 4}

    trial(lambda store: store.open(INBOX).expunge([1, 3]), check)


def test_an_append_dying_anywhere_is_whole_or_absent(trial: Trial) -> None:
    def check(store: Store, ended: bool) -> None:
        found = contents(store, INBOX)
        assert found[:4] == [letter(subject) for subject in SUBJECTS]
        assert found[4:] in ([], [letter("new")])
        if ended:
            assert found[4:] == [letter("new")]

    trial(lambda store: store.append(INBOX, [letter("new")]), check)


def test_a_copy_of_one_message_dying_anywhere_is_whole_or_absent(trial: Trial) -> None:
    def check(store: Store, ended: bool) -> None:
        found = contents(store, "Away")
        assert found in ([letter("old"), letter("one")], [letter("old")][: 0 if ended else 1])
        assert contents(store, INBOX) == [letter(subject) for subject in SUBJECTS]

    trial(lambda store: store.open(INBOX).copy([1], "Away"), check)


def test_flag_changes_dying_anywhere_lose_no_message(trial: Trial) -> None:
    def check(store: Store, ended: bool) -> None:
        assert uids(store, INBOX) == {letter(subject): number for number, subject in enumerate(SUBJECTS, 1)}

    trial(lambda store: store.open(INBOX).set_flags([1, 2, 3], "replace", 0, {"New"}), check)


def test_a_rename_dying_anywhere_keeps_the_messages(trial: Trial) -> None:
    def check(store: Store, ended: bool) -> None:
        names = [name for name in ("Away", "Far") if store.exists(name)]
        assert names
        assert [text for name in names for text in contents(store, name)] == [letter("old")]

    trial(lambda store: store.rename("Away", "Far"), check)


def test_a_filling_that_dies_anywhere_is_taken_up_with_no_uid_changed(trial: Trial, tmp_path: Path) -> None:
    former = Identity(4711, 100, 1 << 51, "0123456789abcdef0123456789abcdef")
    texts = {3: letter("three"), 7: letter("seven"), 8: letter("three"), 99: letter("last")}
    journal = tmp_path / "token"

    def kept(uid: int) -> Kept:
        flags = ("\\Seen", "$x") if uid == 7 else ()
        return Kept(uid, Delivery(lambda: [texts[uid]], "New", flags, date=1e9), uidl=f"old-{uid}" if uid == 8 else "")

    def action(store: Store) -> None:
        if not store.exists("New"):
            store.create("New")
        token = int(journal.read_text()) if journal.exists() else None
        if token is not None and store.status("New").uid_validity == former.uid_validity:
            return
        filling = store.restoring("New", former, token)
        journal.write_text(str(filling.token))
        for batch in ((3, 7), (8, 99)):
            assert filling.put([kept(uid) for uid in batch]) == [None, None]
        filling.finish(former)

    def check(store: Store, ended: bool) -> None:
        if not ended:
            if store.exists("New"):
                store.open("New").close()  # somebody looks in between
            action(store)
        journal.unlink()
        with store.open("New") as mailbox:
            assert (mailbox.uid_validity, mailbox.mailbox_id) == (former.uid_validity, former.mailbox_id)
            assert uids_and_contents(mailbox) == texts
            assert mailbox.pop3_uidl(8) == "old-8" and mailbox.uid_next >= former.uid_next
            assert [state.flags for state in mailbox.messages] == [0, SEEN, 0, 0]
        found = [each.what for each in store.check(mend=False) if each.mailbox == "New" and not each.harmless]
        assert [what for what in found if "dead deliveries" not in what] == []  # a file in tmp/ that nobody reads

    trial(action, check)


def uids_and_contents(mailbox: Mailbox) -> dict[int, bytes]:
    found = {}
    for uid in mailbox.messages.uids:
        with mailbox.read(uid) as content:
            found[uid] = content.read()
    return found
