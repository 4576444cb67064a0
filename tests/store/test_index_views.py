"""Two sessions and a foreign program on one Maildir: after each step both see what is there, and are told of it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pillarbox.lib.store import open_store
from pillarbox.lib.store.index import layout, live
from pillarbox.lib.store.interface import ANSWERED, DELETED, FLAGGED, INBOX, SEEN, Mailbox, Store
from pillarbox.lib.store.maildir.filename import parse_info
from pillarbox.lib.store.maildir.mailbox import MaildirMailbox

FLAGS = st.sampled_from([SEEN, ANSWERED, FLAGGED, DELETED, SEEN | FLAGGED])
EXAMPLES = 40
WHICH = st.integers(0, 7)
TEXT = b"Subject: x\n\nbody\n"


def columns(data: bytes | bytearray) -> int:
    """Octets before the log.  (A log that ends earlier than it did is one that a power loss has undone.)"""
    try:
        return min(len(data), sum(layout.spans(layout.parse_header(bytes(data)))["names"]))
    except layout.Damaged:
        return len(data)


class Client:
    """What a client that believes all it is told has in its own list."""

    def __init__(self, store: Store, read_only: bool) -> None:
        self.store = store
        opened = store.open(INBOX, read_only)
        assert isinstance(opened, MaildirMailbox)
        self.view: MaildirMailbox = opened
        self.known = {state.uid: (state.flags, state.keywords) for state in opened.messages}
        self.old = dict(self.known)
        self.old_modseq = opened.highest_modseq

    def refresh(self) -> None:
        changes = self.view.refresh()
        assert not changes.uid_validity_changed
        for uid in changes.expunged:
            del self.known[uid]
        for state in changes.changed:
            assert state.uid in self.known
            self.known[state.uid] = (state.flags, state.keywords)
        for state in changes.new:
            assert state.uid > max(self.known, default=0)
            self.known[state.uid] = (state.flags, state.keywords)

    def is_right(self) -> None:
        """The snapshot is what this client was told, column by column."""
        messages = self.view.messages
        assert {state.uid: (state.flags, state.keywords) for state in messages} == self.known
        assert list(messages.uids) == sorted(self.known)
        assert len(messages) == len(self.known) == messages.counts().messages
        assert messages.counts().unseen == sum(not flags & SEEN for flags, _ in self.known.values())
        assert messages.counts().deleted == sum(bool(flags & DELETED) for flags, _ in self.known.values())
        unseen = [place for place, uid in enumerate(sorted(self.known)) if not self.known[uid][0] & SEEN]
        assert messages.counts().first_unseen == (unseen[0] if unseen else -1)
        for place, (uid, mark) in enumerate(zip(messages.uids, messages.marks(), strict=True)):
            assert messages.position(uid) == place
            assert messages[place] == messages[place - len(messages)]
            assert messages.meaning(mark)[:2] == self.known[uid]
            assert messages.meaning(mark) == messages[place][1:4]
        assert messages.recent() == sum(state.recent for state in messages)
        middle = len(messages) // 2
        assert list(messages.uids[middle:]) == sorted(self.known)[middle:]
        assert list(messages.marks(middle)) == list(messages.marks())[middle:]
        assert list(messages.modseqs(1, middle)) == list(messages.modseqs())[1:middle]
        assert self.view.uid_next > max(self.known, default=0)

    def catches_up(self) -> None:
        """A client that comes back after a time learns what it missed (RFC 7162)."""
        since = self.view.changed_since(self.old_modseq)
        for first, last in since.vanished:
            for uid in [uid for uid in self.old if first <= uid <= last]:
                del self.old[uid]
            assert not any(first <= uid <= last for uid in self.known)
        self.old.update({state.uid: (state.flags, state.keywords) for state in since.changed})
        assert self.old == self.known
        self.old_modseq = self.view.highest_modseq
        assert all(modseq <= self.old_modseq for modseq in self.view.messages.modseqs())


class Sessions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.mkdtemp(prefix="index-views")
        self.root = Path(self.place) / "mail"
        for name in ("cur", "new", "tmp"):
            (self.root / name).mkdir(parents=True)
        (self.root / "dovecot-keywords").write_text("0 Word\n1 Other\n")
        self.number = 0
        self.uids: dict[str, int] = {}
        self.clients: list[Client] = []

    def teardown(self) -> None:
        shutil.rmtree(self.place)

    @initialize(messages=st.integers(0, 4), read_only=st.booleans())
    def begin(self, messages: int, read_only: bool) -> None:
        for _ in range(messages):
            self.deliver()
        self.clients = [Client(self.store(), False), Client(self.store(), read_only)]

    def store(self) -> Store:
        return open_store(f"maildir:{self.root}")

    def touched(self, *directories: str) -> None:
        """What a clock without ticks would have noted."""
        for name in directories:
            now = time.time_ns()
            os.utime(self.root / name, ns=(now, now))

    def files(self) -> dict[str, str]:
        """Base name to place, of all messages."""
        return {
            name.partition(":")[0]: f"{where}/{name}"
            for where in ("new", "cur")
            for name in os.listdir(self.root / where)
        }

    def file(self, which: int) -> Path | None:
        places = sorted(self.files().values())
        return self.root / places[which % len(places)] if places else None

    # --- the foreign program

    @rule()
    def deliver(self) -> None:
        self.number += 1
        (self.root / "new" / f"{1_700_000_000 + self.number}.M1P1.h").write_bytes(TEXT)
        self.touched("new")

    @rule(flags=st.sampled_from(["", "S", "F", "RS", "Ta", "Sb"]))
    def deliver_into_cur(self, flags: str) -> None:
        self.number += 1
        (self.root / "cur" / f"{1_700_000_000 + self.number}.M1P1.h:2,{flags}").write_bytes(TEXT)
        self.touched("cur")

    @rule(which=WHICH, flags=st.sampled_from(["", "S", "F", "DFRS", "a", "S,x"]))
    def rename(self, which: int, flags: str) -> None:
        path = self.file(which)
        if path is not None:
            path.rename(self.root / "cur" / f"{path.name.partition(':')[0]}:2,{flags}")
            self.touched("new", "cur")

    @rule(which=WHICH)
    def remove(self, which: int) -> None:
        path = self.file(which)
        if path is not None:
            path.unlink()
            self.touched(path.parent.name)

    @rule(which=WHICH)
    def take_away_and_bring_back(self, which: int) -> None:
        path = self.file(which)
        if path is not None:
            path.rename(self.root / "aside")
            self.touched(path.parent.name)
            for client in self.clients:
                client.refresh()
            self.uids.pop(path.name.partition(":")[0], None)
            (self.root / "aside").rename(path)
            self.touched(path.parent.name)
            self.clients[0].refresh()  # somebody sees it before the index is lost, which alone knows that it was gone

    # --- the index

    @rule()
    def lose_the_index(self) -> None:
        (self.root / "pillarbox-index").unlink(missing_ok=True)

    @rule(part=st.floats(0, 1))
    def cut_the_index(self, part: float) -> None:
        path = self.root / "pillarbox-index"
        if path.exists():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data[: int(columns(data) * part)])

    @rule(part=st.floats(0, 1))
    def garble_the_index(self, part: float) -> None:
        path = self.root / "pillarbox-index"
        if path.exists() and path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[int((columns(data) - 1) * part)] ^= 0x55
            path.unlink()
            path.write_bytes(data)

    # --- the sessions

    @rule(who=st.integers(0, 1))
    def refresh(self, who: int) -> None:
        self.clients[who].refresh()

    @rule(who=st.integers(0, 1), which=WHICH, change=st.sampled_from(["add", "remove", "replace"]), flags=FLAGS)
    def set_flags(self, who: int, which: int, change: str, flags: int) -> None:
        client = self.clients[who]
        if client.view.read_only or not client.known:
            return
        uid = sorted(client.known)[which % len(client.known)]
        words = {"Word"} if which % 2 else set()
        done = client.view.set_flags([uid], change, flags, words)  # type: ignore[arg-type]
        assert not done.modified
        for state in done.states:
            client.known[state.uid] = (state.flags, state.keywords)
            assert (state.flags & flags) == (0 if change == "remove" else flags)
        client.refresh()  # a letter that another program used may have got a meaning

    @rule(who=st.integers(0, 1), which=WHICH)
    def set_flags_unless_changed(self, who: int, which: int) -> None:
        client = self.clients[who]
        if client.view.read_only or not client.known:
            return
        uid = sorted(client.known)[which % len(client.known)]
        told = client.view.messages[client.view.messages.position(uid) or 0]
        done = client.view.set_flags([uid], "add", FLAGGED, unchanged_since=told.modseq)
        for state in done.states:
            assert state.flags == told.flags | FLAGGED, "nobody changed it meanwhile"
            client.known[state.uid] = (state.flags, state.keywords)

    @rule(who=st.integers(0, 1), which=WHICH)
    def expunge(self, who: int, which: int) -> None:
        client = self.clients[who]
        if client.view.read_only or not client.known:
            return
        uid = sorted(client.known)[which % len(client.known)]
        before = len(self.files())
        went = client.view.expunge([uid])
        assert went == (() if len(self.files()) == before else (uid,)), "what was gone already did not go by this"
        assert client.view.messages.position(uid) is None
        del client.known[uid]

    @rule(who=st.integers(0, 1), flags=st.sampled_from([0, SEEN]))
    def append(self, who: int, flags: int) -> None:
        done = self.clients[who].store.append(INBOX, [TEXT], flags)
        assert done.uid_validity == self.clients[who].view.uid_validity

    @rule(who=st.integers(0, 1), which=WHICH)
    def copy(self, who: int, which: int) -> None:
        client = self.clients[who]
        if client.known:
            client.view.copy([sorted(client.known)[which % len(client.known)]], INBOX)

    @rule(who=st.integers(0, 1), read_only=st.booleans())
    def select_again(self, who: int, read_only: bool) -> None:
        before = self.clients[who]
        before.view.close()
        client = Client(self.store(), read_only)
        assert client.view.uid_validity == before.view.uid_validity
        client.old, client.old_modseq = before.old, before.old_modseq
        self.clients[who] = client

    @precondition(lambda self: self.clients)
    @rule(who=st.integers(0, 1), which=WHICH)
    def read(self, who: int, which: int) -> None:
        client = self.clients[who]
        client.refresh()
        if client.known:
            uid = sorted(client.known)[which % len(client.known)]
            with client.view.read(uid) as content:
                assert content.size == client.view.size(uid) == len(TEXT) + 3
            client.view.internal_date(uid)

    @rule()
    def status(self) -> None:
        status = self.store().status(INBOX)
        files = self.files()
        assert status.messages == len(files)
        assert status.unseen == sum(not parse_info(name.partition(":2,")[2]).flags & SEEN for name in files.values())
        assert status.recent == sum(name.startswith("new/") for name in files.values())
        assert status.uid_next > max(self.uids.values(), default=0)

    @rule(who=st.integers(0, 1))
    def compare(self, who: int) -> None:
        client = self.clients[who]
        client.refresh()
        view: Mailbox = client.view
        files = self.files()
        paths = {
            uid: client.view._with_place(uid, lambda path: os.path.realpath(path, strict=True)) for uid in client.known
        }
        shown = {os.path.basename(path).partition(":")[0]: uid for uid, path in paths.items()}
        assert shown.keys() == files.keys()
        for base, uid in shown.items():
            assert self.uids.setdefault(base, uid) == uid, "a UID changed"
            assert client.known[uid][0] == parse_info(files[base].partition(":2,")[2]).flags
        client.catches_up()
        assert not view.refresh()

    @invariant()
    def snapshots_are_as_told(self) -> None:
        for client in self.clients:
            client.is_right()


@pytest.mark.parametrize("log", [32 * 1024, 300], ids=["long log", "columns made anew after almost every change"])
def test_sessions_and_a_foreign_program_agree(log: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOG_LEAST", log)
    if log == 300:
        monkeypatch.setattr(live, "LOG_SHARE", 1 << 30)
        monkeypatch.setattr(live, "LOG_REPEATED", 250)
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
