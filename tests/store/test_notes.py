"""Notes beside mailboxes, in every store: they go with their mailbox, and never with another of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import MailboxNotFound, NoteKind, OverQuota, Store
from pillarbox.lib.store.notes import LIMIT

NOTE_KINDS: tuple[NoteKind, ...] = ("acl", "metadata")


def put(store: Store, name: str, kind: NoteKind, text: bytes) -> None:
    store.change_note(name, kind, lambda _: text)


@pytest.mark.parametrize("note", NOTE_KINDS)
def test_a_note_is_found_by_another_process_and_goes_when_it_is_emptied(
    reopen: Callable[[], Store], note: NoteKind
) -> None:
    store = reopen()
    store.create("Work/2026")
    for name in ("INBOX", "Work/2026", ""):
        assert store.note(name, note) == b""
        put(store, name, note, f"for {name}".encode())
    again = reopen()
    for name in ("INBOX", "Work/2026", ""):
        assert again.note(name, note) == f"for {name}".encode()
        put(again, name, note, b"")
        assert store.note(name, note) == b""


def test_a_note_is_renamed_with_its_mailbox_and_deleted_with_it(store: Store) -> None:
    store.create("Old/Child")
    store.create("Old") if not store.exists("Old") else None
    put(store, "Old", "acl", b"parent")
    put(store, "Old/Child", "acl", b"child")
    store.rename("Old", "New")
    assert (store.note("New", "acl"), store.note("New/Child", "acl")) == (b"parent", b"child")
    store.create("Old")
    assert store.note("Old", "acl") == b""
    store.delete("New/Child")
    store.create("New/Child")
    assert store.note("New/Child", "acl") == b""


def test_a_change_sees_what_is_there_and_its_error_leaves_it(store: Store) -> None:
    put(store, "INBOX", "metadata", b"first")
    seen = []

    def fail(before: bytes) -> bytes:
        seen.append(before)
        raise OverQuota("no")

    with pytest.raises(OverQuota):
        store.change_note("INBOX", "metadata", fail)
    assert seen == [b"first"] and store.note("INBOX", "metadata") == b"first"
    with pytest.raises(OverQuota):
        put(store, "INBOX", "metadata", b"x" * (LIMIT + 1))


@pytest.mark.parametrize("name", ["Nowhere", "Nowhere/Below"])
def test_no_mailbox_no_note(store: Store, name: str) -> None:
    with pytest.raises(MailboxNotFound):
        store.note(name, "acl")
    with pytest.raises(MailboxNotFound):
        put(store, name, "acl", b"x")


def test_the_account_and_its_inbox_have_notes_of_their_own(store: Store) -> None:
    put(store, "", "metadata", b"account")
    assert store.note("INBOX", "metadata") == b""
    store.create("account")
    put(store, "account", "metadata", b"mailbox")
    assert store.note("", "metadata") == b"account"


def test_an_access_list_of_dovecots_is_found(tmp_path: Path) -> None:
    store = open_store(f"maildir:{tmp_path}/mail")
    store.create("Shared")
    (tmp_path / "mail/.Shared/dovecot-acl").write_bytes(b"user=bob lr\n")
    assert store.note("Shared", "acl") == b"user=bob lr\n"
