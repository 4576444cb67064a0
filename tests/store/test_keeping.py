"""A mailbox that moves into a store is the same to its clients, in every store (`lib.store.keeping`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.delivering import Delivery
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN, NotPossible, Store
from pillarbox.lib.store.keeping import Identity, Kept

Reopen = Callable[[], Store]
FORMER = Identity(1_234_567, 500, 1 << 51, "0123456789abcdef0123456789abcdef")


def kept(uid: int, *flags: str, uidl: str = "") -> Kept:
    text = b"Subject: %d\r\n\r\nFrom me\r\n" % uid
    return Kept(uid, Delivery(lambda: [text], INBOX, flags, date=1e9 + uid), saved=1.1e9 + uid, uidl=uidl)


def seen(store: Store, name: str = INBOX) -> dict[int, tuple[str, int, frozenset[str], float]]:
    found = {}
    with store.open(name) as mailbox:
        for state in mailbox.messages:
            with mailbox.read(state.uid) as content:
                subject = content.header().split(b"Subject: ")[1].split(b"\r\n")[0].decode()
            found[state.uid] = subject, state.flags, state.keywords, mailbox.internal_date(state.uid)
    return found


def stored(outcomes: Sequence[object]) -> bool:
    return all(outcome is None for outcome in outcomes)


def test_it_is_known_by_what_it_was_known_by(store: Store, reopen: Reopen, kind: str) -> None:
    filling = store.restoring(INBOX, FORMER)
    assert stored(filling.put([kept(3, "\\Seen", "$label"), kept(7, uidl="old-7")]))
    assert stored(filling.put([kept(499, "\\Flagged")]))
    filling.finish(FORMER)
    for account in (store, reopen()):
        assert seen(account) == {
            3: ("3", SEEN, frozenset({"$label"}), 1e9 + 3),
            7: ("7", 0, frozenset(), 1e9 + 7),
            499: ("499", FLAGGED, frozenset(), 1e9 + 499),
        }
        with account.open(INBOX) as inbox:
            assert (inbox.uid_validity, inbox.mailbox_id) == (FORMER.uid_validity, FORMER.mailbox_id)
            assert inbox.uid_next >= FORMER.uid_next
            assert [inbox.pop3_uidl(uid) for uid in (3, 7)] == ["000000030012D687", "old-7"]
            assert inbox.save_date(3) in (1.1e9 + 3, None) and (kind == "mbox" or inbox.save_date(3))
            assert inbox.messages.recent() == 0
            if inbox.highest_modseq:
                assert min(inbox.messages.modseqs()) > FORMER.modseq
                before = inbox.highest_modseq
                inbox.set_flags([3], "add", FLAGGED)
                assert inbox.highest_modseq > before
                inbox.set_flags([3], "remove", FLAGGED)
                # Who was away while messages went is told of all that are no more.
                assert (4, 6) in inbox.changed_since(FORMER.modseq - 1).vanished
    status = store.status(INBOX)
    assert (status.messages, status.unseen, status.uid_validity) == (3, 2, FORMER.uid_validity)
    assert store.append(INBOX, [b"Subject: new\r\n\r\n"]).uid == FORMER.border


def test_an_identity_of_a_store_without_ids_of_its_own(store: Store, reopen: Reopen) -> None:
    identity = Identity(77, 10, 0, "V4d")
    filling = store.restoring(INBOX, identity)
    assert stored(filling.put([kept(9)]))
    filling.finish(identity)
    with reopen().open(INBOX) as inbox:
        assert inbox.mailbox_id == "V4d" and inbox.messages.uids[0] == 9


def test_a_mailbox_that_was_emptied_can_become_another(store: Store, reopen: Reopen) -> None:
    first = store.restoring(INBOX, FORMER)
    assert stored(first.put([kept(1, uidl="one"), kept(2, uidl="two")]))
    first.finish(FORMER)
    with store.open(INBOX) as inbox:
        inbox.expunge([1, 2])
    other = Identity(7_654_321, 20, 0, "f" * 32)
    second = reopen().restoring(INBOX, other)
    assert stored(second.put([kept(1), kept(2, uidl="other")]))
    second.finish(other)
    with reopen().open(INBOX) as inbox:
        assert (inbox.uid_validity, inbox.mailbox_id, list(inbox.messages.uids)) == (7_654_321, "f" * 32, [1, 2])
        assert [inbox.pop3_uidl(uid) for uid in (1, 2)] == ["000000010074CBB1", "other"]


def test_what_is_put_again_is_not_doubled(store: Store, reopen: Reopen) -> None:
    first = store.restoring(INBOX, FORMER)
    assert stored(first.put([kept(uid) for uid in (1, 2, 3)]))
    again = reopen().restoring(INBOX, FORMER, first.token)
    assert stored(again.put([kept(uid) for uid in (1, 2, 3, 4)]))
    once_more = reopen().restoring(INBOX, FORMER, first.token)
    assert stored(once_more.put([kept(5)]))
    once_more.finish(FORMER)
    assert {uid: row[0] for uid, row in seen(reopen()).items()} == {uid: str(uid) for uid in range(1, 6)}


@pytest.mark.parametrize("kind", ["sqlite", "pgsql"], indirect=True)
def test_what_a_session_removed_meanwhile_does_not_come_back(store: Store, reopen: Reopen) -> None:
    first = store.restoring(INBOX, FORMER)
    assert stored(first.put([kept(uid) for uid in (1, 2, 3)]))
    with store.open(INBOX) as inbox:
        inbox.expunge([2])
    again = reopen().restoring(INBOX, FORMER, first.token)
    assert stored(again.put([kept(uid) for uid in (1, 2, 3)]))
    again.finish(FORMER)
    assert sorted(seen(reopen())) == [1, 3]


def test_what_is_delivered_or_looked_at_meanwhile_is_not_lost(store: Store, reopen: Reopen) -> None:
    other = reopen()
    filling = store.restoring(INBOX, FORMER)
    assert stored(filling.put([kept(uid) for uid in (1, 2)]))
    with other.open(INBOX) as session:
        assert other.deliver([Delivery(lambda: [b"Subject: delivered\n\n"])]) == [None]
        session.refresh()
        appended = other.append(INBOX, [b"Subject: appended\r\n\r\n"])
        session.refresh()
        session.set_flags([appended.uid], "add", FLAGGED)
        assert stored(filling.put([kept(uid) for uid in (3, 4)]))
        session.refresh()
        assert len(set(session.messages.uids)) == len(session.messages.uids)
        filling.finish(FORMER)
        assert session.refresh().uid_validity_changed
    assert store.status(INBOX).uid_validity == FORMER.uid_validity
    found = seen(reopen())
    assert {uid: row[0] for uid, row in found.items() if uid < FORMER.border} == {n: str(n) for n in range(1, 5)}
    late = {row[0]: row[1] for uid, row in found.items() if uid >= FORMER.border}
    assert late == {"delivered": 0, "appended": FLAGGED}


def test_a_mailbox_with_messages_is_not_filled(store: Store) -> None:
    store.append(INBOX, [b"Subject: x\r\n\r\n"])
    with pytest.raises(NotPossible):
        store.restoring(INBOX, FORMER)
    with store.open(INBOX) as inbox:
        before = inbox.uid_validity
        inbox.expunge([1])
    # It is empty, but under its own UIDVALIDITY the UID 1 has been given.
    filling = store.restoring(INBOX, FORMER)
    assert filling.token != before
    assert stored(filling.put([kept(1)]))


def test_the_mailbox_that_took_its_place_is_not_filled(store: Store, reopen: Reopen) -> None:
    store.create("Work")
    filling = store.restoring("Work", FORMER)
    assert stored(filling.put([kept(1)]))
    store.delete("Work")
    store.create("Work")
    with pytest.raises(NotPossible):
        reopen().restoring("Work", FORMER, filling.token)
    assert seen(reopen(), "Work") == {}


def test_its_identity_goes_with_it_and_not_to_the_next(store: Store, reopen: Reopen) -> None:
    store.create("Work")
    filling = store.restoring("Work", FORMER)
    assert stored(filling.put([kept(1, uidl="old-1")]))
    filling.finish(FORMER)
    store.rename("Work", "Play")
    with reopen().open("Play") as play:
        assert (play.uid_validity, play.mailbox_id) == (FORMER.uid_validity, FORMER.mailbox_id)
        assert play.pop3_uidl(1) == "old-1"
    store.delete("Play")
    store.create("Play")
    store.append("Play", [b"Subject: x\r\n\r\n"])
    with reopen().open("Play") as play:
        assert play.uid_validity > FORMER.uid_validity
        assert play.mailbox_id != FORMER.mailbox_id and play.pop3_uidl(1) != "old-1"


def test_its_own_uidvalidity_is_another_until_it_is_whole(store: Store) -> None:
    own = store.status(INBOX).uid_validity
    identity = Identity(own, 10)
    assert store.restoring(INBOX, identity).token != own
    assert store.status(INBOX).uid_validity != own


def test_the_modification_sequences_of_a_maildir_stay_ahead_without_its_index(tmp_path: Path) -> None:

    store = open_store(f"maildir:{tmp_path}")
    filling = store.restoring(INBOX, FORMER)
    assert stored(filling.put([kept(1)]))
    filling.finish(FORMER)
    with store.open(INBOX) as inbox:
        inbox.set_flags([1], "add", SEEN)
        told = inbox.highest_modseq
    (tmp_path / "pillarbox-index").unlink()
    with open_store(f"maildir:{tmp_path}").open(INBOX) as inbox:
        assert inbox.highest_modseq > told


@pytest.mark.parametrize(
    "left", [b"4 :hal", bytes(40) + b"4 :x\n", b"4 :x\0y\n", b"\n", b"4 P\xff :x\n5 :y\n"], ids=ascii
)
def test_what_a_power_loss_leaves_of_a_maildirs_list_is_cut_off(tmp_path: Path, left: bytes) -> None:
    location = f"maildir:{tmp_path}/mail"
    first = open_store(location).restoring(INBOX, FORMER)
    assert stored(first.put([kept(uid, uidl=f"u{uid}") for uid in (1, 2, 3)]))
    with open(tmp_path / "mail" / "pillarbox-restoring", "ab") as file:
        file.write(left)
    again = open_store(location).restoring(INBOX, FORMER, first.token)
    assert stored(again.put([kept(uid) for uid in (3, 4, 5)]))
    again.finish(FORMER)
    assert [(uid, text) for uid, (text, *_) in seen(open_store(location)).items()] == [(n, str(n)) for n in range(1, 6)]
