"""Mailboxes of others: what an access list grants, and that nothing else is to be had (RFC 4314)."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.store import guarded, metadata, open_store, shared
from pillarbox.lib.store.acl import Viewer
from pillarbox.lib.store.interface import (
    ALL_RIGHTS,
    DELETED,
    FLAGGED,
    SEEN,
    Copied,
    Mailbox,
    MailboxNotFound,
    NoPermission,
    NotPossible,
    StoreError,
)
from pillarbox.lib.store.shared import NotThere, SharedStore
from pillarbox.lib.store.sharing import Sharing

ANN, BOB, EVE, FAR = "ann@example.org", "bob@example.org", "eve@example.org", "far@example.net"
BOX = f"Other Users/{ANN}/Box"
MESSAGE = [b"Subject: one\r\n\r\nHello\r\n"]


class World:
    """Accounts below one directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.kinds: dict[str, str] = {}
        self.sharing = Sharing(str(base), self.location)

    def location(self, address: str) -> str:
        """Where an account's mail lies."""
        local, domain = address.split("@")
        kind = self.kinds.get(address, "maildir")
        return f"{kind}:{self.base}/{domain}/{local}" + ("/mail.sqlite" if kind == "sqlite" else "")

    def store(self, address: str, *groups: str, public_admin: bool = False) -> SharedStore:
        personal = open_store(self.location(address))
        viewer = Viewer(address, frozenset(groups))
        return SharedStore(
            personal, viewer, self.sharing, lambda place, _: open_store(place), public_admin=public_admin
        )

    def share(self, rights: str, identifier: str = BOB) -> SharedStore:
        """Ann's mailbox Box with a message, shared with Bob."""
        ann = self.store(ANN)
        if not ann.exists("Box"):
            ann.create("Box")
            ann.append("Box", MESSAGE)
        ann.set_acl("Box", identifier, "", rights)
        return self.store(BOB)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- what is seen
def test_a_shared_mailbox_is_listed_and_opened(world: World) -> None:
    bob = world.share("lr")
    rows = {entry.name: entry for entry in bob.list()}
    assert list(rows) == ["INBOX", "Other Users", f"Other Users/{ANN}", BOX]
    assert rows[BOX].selectable and not rows["Other Users"].selectable and rows["Other Users"].has_children
    assert bob.rights(BOX) == "lr" and bob.status(BOX).messages == 1
    with bob.open(BOX) as mailbox:
        assert mailbox.name == BOX and mailbox.read_only
        assert mailbox.read(1).read() == MESSAGE[0]


@pytest.mark.parametrize("trouble", ["elsewhere", "no store", "no list"])
def test_what_one_owner_has_out_of_reach_hides_nobody_elses(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    eve = world.store(EVE)
    eve.create("Hers")
    eve.set_acl("Hers", BOB, "", "lr")
    world.share("lr")
    if trouble == "elsewhere":
        world.kinds[ANN] = "imap"
    elif trouble == "no store":
        (world.base / "example.org/ann").rename(world.base / "away")
        (world.base / "example.org/ann").write_text("")
    else:
        note = world.base / "example.org/ann/.Box/dovecot-acl"
        note.unlink()
        note.mkdir()
    bob = world.store(BOB)
    assert f"Other Users/{EVE}/Hers" in [entry.name for entry in bob.list()]
    assert BOX not in [entry.name for entry in bob.list()]
    with pytest.raises(StoreError):
        bob.open(BOX)


def test_nobody_else_sees_it(world: World) -> None:
    world.share("lr")
    for other in (EVE, FAR):
        store = world.store(other)
        assert [entry.name for entry in store.list()] == ["INBOX"]
        assert not store.exists(BOX)
        with pytest.raises(NotThere):
            store.open(BOX)


@pytest.mark.parametrize(
    ("identifier", "viewer", "groups", "sees"),
    [
        ("anyone", BOB, (), True),
        ("anyone", FAR, (), False),
        (FAR, FAR, (), True),
        ("bob", BOB, (), True),
        ("BOB@Example.ORG", BOB, (), True),
        ("$staff", BOB, ("staff",), True),
        ("$staff", BOB, ("guests",), False),
        ("-bob@example.org", BOB, (), False),
    ],
)
def test_identifiers(world: World, identifier: str, viewer: str, groups: tuple[str, ...], sees: bool) -> None:
    world.share("lr", identifier)
    store = world.store(viewer, *groups)
    assert (BOX in [entry.name for entry in store.list()]) is sees
    assert store.exists(BOX) is sees


def test_what_is_denied_goes_before_what_is_given(world: World) -> None:
    world.share("lrs", "anyone")
    bob = world.share("rs", f"-{BOB}")
    assert bob.rights(BOX) == "l"
    with pytest.raises(NoPermission):
        bob.open(BOX)


def test_what_is_taken_back_is_gone_at_once(world: World) -> None:
    bob = world.share("lrswte")
    mailbox = bob.open(BOX)
    world.store(ANN).set_acl("Box", BOB, "", "")
    assert not mailbox.refresh()
    for action in (
        lambda: mailbox.messages,
        lambda: mailbox.read(1),
        lambda: list(mailbox.read_whole([1], 1000)),
        lambda: mailbox.set_flags([1], "add", SEEN),
        lambda: mailbox.expunge([1]),
    ):
        with pytest.raises(NoPermission):
            action()
    assert [entry.name for entry in bob.list()] == ["INBOX"]
    assert not (world.base / ".shares/of" / ANN).exists()


def test_what_is_taken_back_cannot_be_read_although_nobody_asked_for_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "RECHECK", -1.0)
    mailbox = world.share("lr").open(BOX)
    assert len(mailbox.messages) == 1
    world.store(ANN).set_acl("Box", BOB, "", "")
    with pytest.raises(NoPermission):
        mailbox.messages  # noqa: B018


def test_rights_can_be_extended_and_reduced(world: World) -> None:
    bob = world.share("lr")
    ann = world.store(ANN)
    ann.set_acl("Box", BOB, "+", "sw")
    assert bob.rights(BOX) == "lrsw"
    ann.set_acl("Box", BOB, "-", "r")
    assert ann.acl("Box") == {BOB: "lsw"}


# --- a right that lacks, and what is then refused
def _append(store: SharedStore) -> None:
    store.append(BOX, MESSAGE)


def _with(action: Callable[[Mailbox], object]) -> Callable[[SharedStore], None]:
    def run(store: SharedStore) -> None:
        with store.open(BOX) as mailbox:
            action(mailbox)

    return run


ACTIONS: dict[str, tuple[str, Callable[[SharedStore], object]]] = {
    "open": ("r", lambda store: store.open(BOX)),
    "status": ("r", lambda store: store.status(BOX)),
    "quota": ("r", lambda store: store.quota_roots(BOX)),
    "seen": ("s", _with(lambda mailbox: mailbox.set_flags([1], "add", SEEN))),
    "unseen": ("s", _with(lambda mailbox: mailbox.set_flags([1], "remove", SEEN))),
    "flag": ("w", _with(lambda mailbox: mailbox.set_flags([1], "add", FLAGGED))),
    "keyword": ("w", _with(lambda mailbox: mailbox.set_flags([1], "add", 0, {"work"}))),
    "delete": ("t", _with(lambda mailbox: mailbox.set_flags([1], "add", DELETED))),
    "expunge": ("e", _with(lambda mailbox: mailbox.expunge([1]))),
    "move away": ("te", _with(lambda mailbox: mailbox.move([1], "INBOX"))),
    "copy away": ("r", _with(lambda mailbox: mailbox.copy([1], "INBOX"))),
    "copy within": ("i", _with(lambda mailbox: mailbox.copy([1], BOX))),
    "append": ("i", _append),
    "create below": ("k", lambda store: store.create(f"{BOX}/New")),
    "remove": ("x", lambda store: store.delete(BOX)),
    "rename": ("x", lambda store: store.rename(BOX, f"{BOX}2")),
    "see the list": ("a", lambda store: store.acl(BOX)),
    "change the list": ("a", lambda store: store.set_acl(BOX, EVE, "", "lr")),
    "read the list's file": ("a", lambda store: store.note(BOX, "acl")),
    "annotations": ("lr", lambda store: store.note(BOX, "metadata")),
    "subscribe": ("l", lambda store: store.subscribe(BOX, True)),
}


@pytest.mark.parametrize("lacking", ALL_RIGHTS)
def test_a_right_that_lacks_refuses_what_needs_it_and_nothing_else(world: World, lacking: str) -> None:
    for name, (needed, action) in ACTIONS.items():
        if name == "rename" and lacking != "x":
            continue  # needs a right above the mailbox too
        bob = world.share(ALL_RIGHTS.replace(lacking, ""))
        if lacking in needed or (
            lacking == "r"
            and needed != "r"
            and name
            in {"copy within", "expunge"}
            | {each for each, (right, _) in ACTIONS.items() if right in ("s", "w", "t", "te")}
        ):
            with pytest.raises(StoreError) as refused:
                action(bob)
            assert refused.value.response_code in ("NOPERM", "NONEXISTENT"), name
        else:
            action(bob)
        if name == "remove" and lacking != "x":
            assert not world.store(ANN).exists("Box")
        elif name == "create below" and lacking != "k":
            world.store(ANN).delete("Box/New")


@pytest.mark.parametrize("rights", ["", "p"])
def test_without_a_right_to_see_it_a_mailbox_answers_as_one_that_is_not_there(world: World, rights: str) -> None:
    bob = world.share("l", "anyone")
    world.store(ANN).set_acl("Box", "anyone", "", "")
    world.share(rights + "lr", EVE)
    for name, (_, action) in ACTIONS.items():
        if name == "create below":
            continue
        with pytest.raises(StoreError) as there:
            action(bob)
        assert there.value.response_code == "NONEXISTENT", name
    messages = set()
    for box in (BOX, BOX.replace("Box", "Nil"), BOX.replace("Box", "a.b"), BOX.replace("Box", "a//b")):
        with pytest.raises(NotThere) as error:
            bob.open(box)
        messages.add(str(error.value).replace(box, ""))
    assert len(messages) == 1, "the text tells which of them exists"


def test_a_drop_box_takes_mail_and_shows_nothing(world: World) -> None:
    bob = world.share("li")
    bob.append(BOX, MESSAGE, SEEN | FLAGGED)
    with pytest.raises(NoPermission):
        bob.open(BOX)
    with world.store(ANN).open("Box") as mailbox:
        assert mailbox.messages[-1].flags == 0, "flags that may not be set are left out"


def test_flags_are_changed_as_far_as_rights_go(world: World) -> None:
    ann = world.store(ANN)
    bob = world.share("lrs")
    with ann.open("Box") as mailbox:
        mailbox.set_flags([1], "add", FLAGGED, {"kept"})
    with bob.open(BOX) as mailbox:
        (state,) = mailbox.set_flags([1], "add", SEEN | DELETED, {"other"}).states
        assert (state.flags, state.keywords) == (SEEN | FLAGGED, {"kept"})
        (state,) = mailbox.set_flags([1], "replace", DELETED).states
        assert (state.flags, state.keywords) == (FLAGGED, {"kept"})
    bob = world.share("lrswt")
    with bob.open(BOX) as mailbox:
        (state,) = mailbox.set_flags([1], "replace", DELETED, {"new"}).states
        assert (state.flags, state.keywords) == (DELETED, {"new"})


def test_replacing_keywords_without_the_right_to_seen_keeps_seen(world: World) -> None:
    bob = world.share("lrw")
    with world.store(ANN).open("Box") as mailbox:
        mailbox.set_flags([1], "add", SEEN, {"old"})
    with bob.open(BOX) as mailbox:
        (state,) = mailbox.set_flags([1], "replace", FLAGGED, {"new"}).states
        assert (state.flags, state.keywords) == (SEEN | FLAGGED, {"new"})


# --- from one owner to another
def test_messages_are_copied_and_moved_from_account_to_account(world: World) -> None:
    bob = world.share(ALL_RIGHTS)
    with bob.open(BOX) as mailbox:
        mailbox.set_flags([1], "add", FLAGGED, {"word"})
        assert bob.transfer(mailbox, [1, 7], "INBOX", move=False).source_uids == (1,)
        assert bob.transfer(mailbox, [1], "INBOX", move=True).uids == (2,)
        assert not mailbox.messages.uids
    with bob.open("INBOX") as inbox:
        assert [(one.flags, one.keywords) for one in inbox.messages] == [(FLAGGED, {"word"})] * 2
        assert inbox.read(2).read() == MESSAGE[0]
        bob.transfer(inbox, [1, 2], BOX, move=True)
        assert not inbox.messages.uids
    assert world.store(ANN).status("Box").messages == 2


@pytest.mark.parametrize("kind", ["maildir", "sqlite"])
def test_a_message_that_two_move_at_once_is_moved_once(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    world.kinds[ANN] = kind
    bob, other = world.share(ALL_RIGHTS), world.store(BOB)
    world.store(ANN).append("Box", MESSAGE)
    carry = shared.carry

    def others_are_quicker(*arguments: Any) -> Copied:
        copied = carry(*arguments)
        monkeypatch.undo()
        with other.open(BOX) as quick:
            assert other.transfer(quick, [2], "INBOX", move=True).source_uids == (2,)
        return copied

    monkeypatch.setattr(shared, "carry", others_are_quicker)
    with bob.open(BOX) as mailbox:
        moved = bob.transfer(mailbox, [1, 2], "INBOX", move=True)
        assert moved.source_uids == (1,) and len(moved.uids) == 1
        assert not mailbox.messages.uids
    assert bob.status("INBOX").messages == 2


def test_a_copy_that_fails_leaves_nothing(world: World) -> None:
    bob = world.share(ALL_RIGHTS)
    world.store(ANN).append("Box", MESSAGE)
    inbox = world.base / "example.org/bob"
    bob.append("INBOX", MESSAGE)
    (inbox / "maildirsize").write_bytes(b"2C\n0 1\n")
    with bob.open(BOX) as mailbox, pytest.raises(StoreError, match="quota"):
        bob.transfer(mailbox, [1, 2], "INBOX", move=True)
    assert bob.status("INBOX").messages == 1 and world.store(ANN).status("Box").messages == 2


def test_where_nothing_may_be_made_there_is_nothing_to_try(world: World) -> None:
    bob = world.share("lr")
    bob.append("INBOX", MESSAGE)
    with bob.open("INBOX") as inbox:
        with pytest.raises(NotThere):
            bob.transfer(inbox, [1], f"{BOX}/Nowhere", move=False)
        with pytest.raises(MailboxNotFound):
            bob.transfer(inbox, [1], "Nowhere", move=False)
        with pytest.raises(NoPermission):
            bob.transfer(inbox, [1], BOX, move=False)


# --- names that want to break out
@pytest.mark.parametrize(
    "name",
    [
        "Other Users",
        "Other Users/",
        "Other Users//",
        "Other Users/..",
        "Other Users/../ann",
        f"Other Users/../{ANN}/Box",
        f"Other Users/{ANN}",
        f"Other Users/{ANN}/",
        f"Other Users/{ANN}/..",
        f"Other Users/{ANN}/../bob",
        f"Other Users/{ANN}/Box/../Secret",
        f"Other Users/{ANN}/Secret",
        f"Other Users/{ANN}/INBOX",
        f"Other Users/{ANN}/Other Users/{ANN}/Secret",
        f"Other Users/{ANN}/Other Users/{EVE}/INBOX",
        f"Other Users/{ANN}%2F..",
        f"Other Users/{ANN.upper()}/Secret",
        f"Other Users/{BOB}/INBOX",
        f"Other Users/{EVE}/INBOX",
        "Other Users/../../etc/passwd",
        "Other Users/.shares/of",
        "Other Users/\0/x",
        f"Other Users/{ANN}/\0",
        f"Other Users/{ANN}/&AC8-etc",
    ],
)
def test_no_name_leads_where_the_access_list_does_not(world: World, name: str) -> None:
    bob = world.share("lrswipkxtea")
    ann = world.store(ANN)
    ann.create("Secret")
    ann.append("Secret", [b"Subject: secret\r\n\r\nsecret\r\n"])
    bob.append("INBOX", MESSAGE)
    before = sorted(path for path in world.base.rglob("*") if "tmp" not in path.parts)
    for action in (
        lambda: bob.open(name),
        lambda: bob.status(name),
        lambda: bob.append(name, MESSAGE),
        lambda: bob.delete(name),
        lambda: bob.rename(name, "Mine"),
        lambda: bob.rename(name, f"{BOX}/Mine"),
        lambda: bob.set_acl(name, BOB, "", "lr"),
        lambda: bob.acl(name),
        lambda: bob.note(name, "metadata"),
        lambda: bob.change_note(name, "metadata", lambda _: b"x"),
        lambda: bob.rights(name),
        lambda: bob.quota_roots(name),
        lambda: bob.session_lock(name).__enter__(),
    ):
        with pytest.raises(StoreError):
            action()
    with bob.open("INBOX") as inbox, pytest.raises(StoreError):
        bob.transfer(inbox, [1], name, move=True)
    assert not bob.exists(name)
    assert bob.quota_root(f"{name}: User quota") is None
    after = sorted(path for path in world.base.rglob("*") if "tmp" not in path.parts)
    assert [
        path for path in after if path not in before and "dovecot" not in path.name and "pillarbox" not in path.name
    ] == []


@pytest.mark.parametrize("kind", ["maildir", "sqlite"])
def test_what_takes_the_name_of_an_open_mailbox_does_not_open_that(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its list is that of another mailbox; what was renamed has one of its own."""
    monkeypatch.setattr(guarded, "RECHECK", -1.0)
    world.kinds[ANN] = kind
    (world.base / "example.org/ann").mkdir(parents=True)
    bob, ann = world.share(ALL_RIGHTS), world.store(ANN)
    with bob.open(BOX) as mailbox:
        ann.rename("Box", "Private")
        ann.set_acl("Private", BOB, "", "")
        ann.create("Box")
        ann.set_acl("Box", BOB, "", ALL_RIGHTS)
        ann.append("Private", [b"Subject: secret\r\n\r\nsecret\r\n"])
        assert mailbox.refresh().new == ()
        for action in (
            lambda: mailbox.read(2),
            lambda: mailbox.read(1),
            lambda: mailbox.set_flags([1], "add", SEEN).states[0],
            lambda: bob.transfer(mailbox, [1], "INBOX", move=False).uids[0],
        ):
            with pytest.raises((StoreError, IndexError)):
                action()
    assert ann.status("Private").messages == 2 and ann.status("Private").unseen == 2


def test_a_reader_leaves_room_for_its_owners_annotations(world: World) -> None:
    bob, value = world.share("lr"), b"\xff" * metadata.GUEST_VALUE_LIMIT
    metadata.change(bob, BOX, {"/private/0": value})
    with pytest.raises(metadata.TooMany):
        for number in range(1, metadata.ENTRY_LIMIT):
            metadata.change(bob, BOX, {f"/private/{number}": value})
    metadata.change(world.store(ANN), "Box", {f"/private/{number}": value for number in range(10)})
    metadata.change(bob, BOX, {"/private/0": None})
    assert metadata.visible(bob, BOX) == {}


def test_mailboxes_do_not_change_owners(world: World) -> None:
    bob = world.share(ALL_RIGHTS)
    bob.create("Mine")
    for old, new in ((BOX, "Stolen"), ("Mine", f"{BOX}/Planted"), ("Mine", f"Other Users/{EVE}/Planted")):
        with pytest.raises(StoreError):
            bob.rename(old, new)
    with pytest.raises(StoreError):
        bob.create(f"Other Users/{ANN}/Top")
    with pytest.raises(StoreError):
        bob.create("Other Users")
    with pytest.raises(NotPossible):
        world.store(ANN).set_acl("Box", ANN, "", "l")
    with pytest.raises(NotPossible):
        bob.set_acl(BOX, ANN, "-", "lr")


def test_a_hidden_mailbox_below_is_not_moved(world: World) -> None:
    bob = world.share("lrkx")
    ann = world.store(ANN)
    ann.create("Box/Hidden")
    ann.set_acl("Box/Hidden", BOB, "", "")
    ann.create("Top")
    ann.set_acl("Top", BOB, "", "lk")
    with pytest.raises(NoPermission):
        bob.rename(BOX, f"Other Users/{ANN}/Top/Box")
    ann.delete("Box/Hidden")
    bob.rename(BOX, f"Other Users/{ANN}/Top/Box")
    assert ann.exists("Top/Box") and bob.rights(f"Other Users/{ANN}/Top/Box") == "lrkx"


def test_nor_where_inbox_is_written_otherwise(world: World) -> None:
    bob = world.share("lrkx")
    ann = world.store(ANN)
    for name in ("INBOX/Box", "INBOX/Box/Hidden"):
        ann.create(name)
    ann.set_acl("INBOX/Box", BOB, "", "lrkx")
    for inbox in ("inbox", "Inbox"):
        with pytest.raises(NoPermission):
            bob.rename(f"Other Users/{ANN}/{inbox}/Box", f"{BOX}/Moved")
    assert ann.exists("INBOX/Box/Hidden")


def test_a_mailbox_of_the_same_name_has_not_the_old_ones_list(world: World) -> None:
    bob = world.share("lr")
    ann = world.store(ANN)
    ann.rename("Box", "Elsewhere")
    ann.create("Box")
    assert not bob.exists(BOX) and bob.exists(f"Other Users/{ANN}/Elsewhere")
    ann.delete("Elsewhere")
    ann.create("Elsewhere")
    assert not bob.exists(f"Other Users/{ANN}/Elsewhere")


def test_a_new_mailbox_has_the_list_of_the_one_above(world: World) -> None:
    bob = world.share("lrk")
    world.store(ANN).create("Box/ByAnn")
    bob.create(f"{BOX}/ByBob/Deep")
    assert bob.rights(f"{BOX}/ByAnn") == bob.rights(f"{BOX}/ByBob/Deep") == "lrk"


# --- subscriptions, annotations, moved accounts
def test_subscriptions_are_the_users_own(world: World) -> None:
    bob = world.share("lr")
    bob.subscribe(BOX, True)
    bob.subscribe("INBOX", True)
    assert set(world.store(BOB).subscriptions()) == {BOX, "INBOX"}
    assert world.store(ANN).subscriptions() == ()
    assert {entry.name for entry in bob.list() if entry.subscribed} == {BOX, "INBOX"}
    world.store(ANN).set_acl("Box", BOB, "", "")
    bob.subscribe(BOX, False)
    assert bob.subscriptions() == ("INBOX",)


def test_an_account_that_moved_is_found_where_it_is(world: World) -> None:
    bob = world.share("lr")
    (world.base / "example.org/ann").rename(world.base / "moved")
    personal = open_store(f"maildir:{world.base}/moved")
    SharedStore(personal, Viewer(ANN), world.sharing, lambda place, _: open_store(place))
    assert bob.status(BOX).messages == 1


@pytest.mark.parametrize("kind", ["mbox", "sqlite"])
def test_accounts_in_other_stores_share_too(world: World, kind: str) -> None:
    world.kinds[ANN] = kind
    bob = world.share("lrswite")
    assert bob.status(BOX).messages == 1
    with bob.open(BOX) as mailbox:
        bob.transfer(mailbox, [1], "INBOX", move=True)
    with bob.open("INBOX") as inbox:
        bob.transfer(inbox, [1], BOX, move=False)
    assert (bob.status(BOX).messages, bob.status("INBOX").messages) == (1, 1)
    with pytest.raises(NoPermission):
        bob.delete(BOX)
    world.store(ANN).set_acl("Box", BOB, "", "")
    assert not bob.exists(BOX)


def test_where_the_mail_usually_lies_is_not_written_down(world: World) -> None:
    """A location may hold the password of a database."""
    world.share("lr")
    assert str(world.base) not in (world.base / ".shares/of" / ANN).read_text()


# --- public mailboxes
def test_public_mailboxes_are_those_of_the_domain(world: World) -> None:
    admin = world.store(ANN, public_admin=True)
    assert admin.namespaces() == ("Other Users/", "Public/")
    admin.create("Public/News")
    admin.set_acl("Public/News", "anyone", "", "lr")
    admin.create("Public/Hidden")
    bob = world.store(BOB)
    assert [entry.name for entry in bob.list()] == ["INBOX", "Public", "Public/News"]
    assert bob.status("Public/News").messages == 0
    for name in ("Public/Hidden", "Public/INBOX", "Public", "Public/.."):
        with pytest.raises(StoreError):
            bob.open(name)
    with pytest.raises(StoreError):
        bob.create("Public/Mine")
    far = world.store(FAR)
    assert far.namespaces() == ("Other Users/", "") and not far.exists("Public/News")
    far.create("Public/Own")
    assert far.personal.exists("Public/Own"), "without public mailboxes the name is free"


# --- the guard itself
def test_whatever_an_open_mailbox_can_do_has_been_thought_about() -> None:
    own = {"accepts_new_keywords", "copy", "expunge", "header", "messages", "move", "name", "read", "refresh", "rights"}
    own |= {"set_flags", "text_candidates", "text_place", "read_whole"}
    assert guarded.MEMBERS - guarded.READS - own == set(), (
        "may others do this to a mailbox? say so in lib/store/guarded.py"
    )
    assert guarded.READS <= guarded.MEMBERS


def test_what_nobody_thought_about_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = world.share(ALL_RIGHTS)
    monkeypatch.setattr(guarded.GuardedMailbox, "size", guarded._refused("size"))
    with bob.open(BOX) as mailbox, pytest.raises(NoPermission):
        mailbox.size(1)


NEEDED = {
    name: set(right) | ({"r"} if right in ("s", "w", "t", "e", "te") or name in ("copy within", "copy away") else set())
    for name, (right, _) in ACTIONS.items()
    if name != "rename"
}
"""What an action takes, reading the mailbox included where it is done to an open one."""


@pytest.mark.parametrize("seed", range(6))
def test_any_set_of_rights_allows_just_what_it_says(world: World, seed: int) -> None:
    rights = "".join(right for right in ALL_RIGHTS if random.Random(f"{seed}{right}").random() < 0.6)
    for name, needed in NEEDED.items():
        bob = world.share(rights)
        allowed = needed <= set(rights)
        try:
            ACTIONS[name][1](bob)
        except StoreError as error:
            assert not allowed, f"{name} with {rights}: {error}"
        else:
            assert allowed, f"{name} with {rights} was done"
        ann = world.store(ANN)
        if ann.exists("Box/New"):
            ann.delete("Box/New")
