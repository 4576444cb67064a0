"""Mailbox access keys of URLAUTH (RFC 4467 section 2.2), in every store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store, url_keys
from pillarbox.lib.store.acl import Viewer
from pillarbox.lib.store.interface import MailboxNotFound, Store
from pillarbox.lib.store.shared import SharedStore
from pillarbox.lib.store.sharing import Sharing
from pillarbox.lib.store.url_keys import TooManyKeys, known_key, make_key, reset_all_keys, reset_key


def test_a_key_is_made_once_and_found_by_other_processes(reopen: Callable[[], Store]) -> None:
    store = reopen()
    store.create("Work/2026")
    assert known_key(store, "INBOX") is None
    made = [make_key(store, name) for name in ("INBOX", "Work/2026")]
    assert len({key.secret for key in made}) == 2 and all(len(key.secret) == 32 for key in made)
    again = reopen()
    assert [make_key(again, name) for name in ("INBOX", "Work/2026")] == made
    assert [known_key(again, name) for name in ("INBOX", "Work/2026")] == made
    with store.open("INBOX") as mailbox:
        assert made[0].uid_validity == mailbox.uid_validity


def test_what_was_reset_never_comes_back(store: Store) -> None:
    store.create("Work")
    first, inbox = make_key(store, "Work"), make_key(store, "INBOX")
    reset_key(store, "Work")
    second = make_key(store, "Work")
    assert second.secret != first.secret and known_key(store, "INBOX") == inbox
    reset_all_keys(store)
    assert (known_key(store, "Work"), known_key(store, "INBOX")) == (None, None)
    third = make_key(store, "Work")
    assert third.secret not in (first.secret, second.secret)
    # A key of before is not there again because another mailbox's was made.
    assert known_key(store, "INBOX") not in (inbox, None)


def test_a_key_goes_with_its_mailbox_and_not_with_its_name(store: Store) -> None:
    store.create("Old")
    key = make_key(store, "Old")
    store.rename("Old", "New")
    assert known_key(store, "New") == key
    store.create("Old")
    assert known_key(store, "Old") is None
    store.delete("New")
    store.create("New")
    assert known_key(store, "New") is None
    assert make_key(store, "New").secret != key.secret
    for function in (known_key, make_key, reset_key):
        with pytest.raises(MailboxNotFound):
            function(store, "Nowhere")


def test_the_key_of_another_uidvalidity_is_replaced(store: Store) -> None:
    key = make_key(store, "INBOX")
    store.change_note("INBOX", "urlauth", lambda note: note.replace(b"%d" % key.uid_validity, b"7"))
    old = known_key(store, "INBOX")
    assert old is not None and old.uid_validity == 7
    assert make_key(store, "INBOX").uid_validity == key.uid_validity
    assert make_key(store, "INBOX").secret != old.secret


def test_to_ask_for_a_key_makes_no_mailbox(tmp_path: Path) -> None:
    assert known_key(open_store(f"maildir:{tmp_path}/mail"), "INBOX") is None
    assert not (tmp_path / "mail").exists()


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"":1}', b'{"":["00",1]}', b'{"":["zz",1]}', b'{"":[1,2,3]}'])
def test_a_damaged_note_revokes(tmp_path: Path, damage: bytes) -> None:
    store = open_store(f"maildir:{tmp_path}/mail")
    key = make_key(store, "INBOX")
    store.change_note("INBOX", "urlauth", lambda _: damage)
    assert known_key(store, "INBOX") is None
    assert make_key(store, "INBOX").secret != key.secret


def test_the_owner_and_the_guests_of_a_mailbox_have_keys_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = Sharing(str(tmp_path), lambda address: f"maildir:{tmp_path}/{address}")

    def account(address: str) -> SharedStore:
        own = open_store(f"maildir:{tmp_path}/{address}")
        return SharedStore(own, Viewer(address, frozenset()), sharing, lambda location, _: open_store(location))

    ann, bob, eve = (account(f"{name}@example.org") for name in ("ann", "bob", "eve"))
    ann.create("Box")
    for name in ("bob", "eve"):
        ann.set_acl("Box", f"{name}@example.org", "", "lr")
    box = "Other Users/ann@example.org/Box"
    keys = [make_key(ann, "Box"), make_key(bob, box), make_key(eve, box)]
    assert len({key.secret for key in keys}) == 3
    reset_key(bob, box)
    assert (known_key(ann, "Box"), known_key(eve, box)) == (keys[0], keys[2])
    assert make_key(bob, box).secret != keys[1].secret
    # What the guests could not take back, since they do not see the mailbox any more, is gone all the same.
    before = known_key(bob, box)
    ann.set_acl("Box", "bob@example.org", "", "")
    reset_all_keys(bob)
    ann.set_acl("Box", "bob@example.org", "", "lr")
    assert known_key(bob, box) is None and make_key(bob, box) != before
    monkeypatch.setattr(url_keys, "USERS_LIMIT", 3)
    ann.set_acl("Box", "joe@example.org", "", "lr")
    with pytest.raises(TooManyKeys):
        make_key(account("joe@example.org"), box)
    assert known_key(eve, box) == keys[2]
