"""Several sessions in processes of their own, some of them killed, and a foreign program, all on one Maildir."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.index import live
from pillarbox.lib.store.interface import ANSWERED, FLAGGED, INBOX, SEEN, Mailbox, MessageGone, StoreError
from pillarbox.lib.store.maildir import scan

WORKERS = 3
LASTS = 2.0
"""Seconds."""


def letter(identity: str) -> bytes:
    return f"Subject: {identity}\n\nbody of {identity}\n".encode()


def identity_of(mailbox: Mailbox, uid: int) -> str:
    with mailbox.read(uid) as content:
        return content.header().split(b"Subject: ")[1].split(b"\r\n")[0].decode()


class Notes:
    """What a process has seen and done, in a file that outlives it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, *words: object) -> None:
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())


def session(root: Path, notes: Notes, seed: int, end: float) -> None:
    """A client: refreshes, reads, sets flags, appends, expunges what it has appended itself."""
    chance = random.Random(seed)
    store = open_store(f"maildir:{root}")
    mailbox = store.open(INBOX)
    known = {state.uid: (state.flags, state.keywords) for state in mailbox.messages}
    count = 0
    while time.monotonic() < end:
        changes = mailbox.refresh()
        for uid in changes.expunged:
            del known[uid]
        for state in (*changes.changed, *changes.new):
            known[state.uid] = (state.flags, state.keywords)
        assert list(known) == list(mailbox.messages.uids), "told of something else than is shown"
        assert known == {state.uid: (state.flags, state.keywords) for state in mailbox.messages}
        count += 1
        step = chance.randrange(10)
        if step == 0:
            name = f"own-{os.getpid()}-{count}"
            done = store.append(INBOX, [letter(name)], chance.choice([0, SEEN]))
            notes.add("seen", done.uid, name)
            notes.add("stored", name)
        elif known:
            uids = chance.sample(sorted(known), min(len(known), 3))
            if step == 1:
                mine = [uid for uid in uids if _name(mailbox, uid, notes).startswith(f"own-{os.getpid()}-")]
                for uid in mine:
                    notes.add("removed", _name(mailbox, uid, notes))
                for uid in mailbox.expunge(mine):
                    del known[uid]
            elif step < 7:
                change = chance.choice(["add", "remove"])
                flags = chance.choice([SEEN, FLAGGED, ANSWERED])
                for state in mailbox.set_flags(uids, change, flags, {"Word"} if step == 6 else ()).states:  # type: ignore[arg-type]
                    known[state.uid] = (state.flags, state.keywords)
                    assert state.flags & flags == (flags if change == "add" else 0)
            elif step == 7:
                mailbox.copy(uids[:1], "Away")
            elif step == 8:
                _name(mailbox, uids[0], notes)
            else:
                mailbox.close()
                mailbox = store.open(INBOX)
                known = {state.uid: (state.flags, state.keywords) for state in mailbox.messages}


def _name(mailbox: Mailbox, uid: int, notes: Notes) -> str:
    try:
        name = identity_of(mailbox, uid)
    except MessageGone:
        return ""
    notes.add("seen", uid, name)
    return name


def foreign(root: Path, notes: Notes, seed: int, end: float) -> None:
    """Delivers as procmail does, and renames as mutt does."""
    chance = random.Random(seed)
    count = 0
    while time.monotonic() < end:
        time.sleep(0.002)
        if chance.random() < 0.2:
            count += 1
            name = f"mail-{count}"
            (root / "tmp" / name).write_bytes(letter(name))
            (root / "tmp" / name).rename(root / "new" / f"{int(time.time())}.M{count}P1.h")
            notes.add("stored", name)
        else:
            names = os.listdir(root / "cur")
            if names:
                old = chance.choice(names)
                new = f"{old.partition(':')[0]}:2,{chance.choice(['', 'S', 'F', 'RS', 'FS', 'Sa'])}"
                try:
                    os.rename(root / "cur" / old, root / "cur" / new)
                except FileNotFoundError:
                    pass


def start(action: Callable[[], None], notes: Notes) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = str(error).replace("\n", " ")[:500]
            notes.add("failed", f"{type(error).__name__} at {where.filename}:{where.lineno}: {said}")
        finally:
            os._exit(status)
    return pid


@pytest.mark.parametrize("log", [live.LOG_LEAST, 2000], ids=["log", "columns often made anew"])
def test_sessions_killed_at_random_beside_a_foreign_program(
    tmp_path: Path, log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_OWN_CHANGE_NS", 50_000_000)
    monkeypatch.setattr(live, "LOG_LEAST", log)
    root = tmp_path / "mail"
    store = open_store(f"maildir:{root}")
    store.create("Away")
    for number in range(20):
        store.append(INBOX, [letter(f"first-{number}")])
    witness = store.open(INBOX)
    notes = Notes(tmp_path / "notes")
    chance = random.Random(7)
    end = time.monotonic() + LASTS
    children = {start(lambda: foreign(root, notes, 1, end), notes): "foreign"}
    seed = 10
    while time.monotonic() < end:
        while len(children) <= WORKERS:
            seed += 1
            children[start(lambda seed=seed: session(root, notes, seed, end), notes)] = "session"  # type: ignore[misc]
        time.sleep(chance.random() * 0.2)
        victim = chance.choice([pid for pid, kind in children.items() if kind == "session"])
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        del children[victim]
        try:
            witness.refresh()
        except StoreError as error:
            notes.add("failed", error)
    for pid in children:
        os.waitpid(pid, 0)

    rows = [line.split(" ", 1) for line in (tmp_path / "notes").read_text().splitlines()]
    assert [rest for word, rest in rows if word == "failed"] == []
    stored = {rest for word, rest in rows if word == "stored"} | {f"first-{number}" for number in range(20)}
    removed = {rest for word, rest in rows if word == "removed"}
    names: dict[str, str] = {}
    for word, rest in rows:
        if word == "seen":
            uid, name = rest.split(" ")
            assert names.setdefault(uid, name) == name, "a UID stood for two messages"
    deadline = time.monotonic() + 30
    while True:
        witness.refresh()
        with open_store(f"maildir:{root}").open(INBOX) as fresh:
            found = {uid: identity_of(fresh, uid) for uid in fresh.messages.uids}
            places = os.listdir(root / "cur") + os.listdir(root / "new")
            files = {name.partition(":")[0]: name.partition(":2,")[2] for name in places}
            same = [(state.uid, state.flags, state.keywords) for state in fresh.messages] == [
                (state.uid, state.flags, state.keywords) for state in witness.messages
            ]
            flags = sorted("F" in info for info in files.values()) == sorted(
                bool(state.flags & FLAGGED) for state in fresh.messages
            )
        if (same and flags) or time.monotonic() > deadline:
            break
    assert same, "the session that was open all the time sees something else"
    assert flags, "flags of a foreign program were lost"
    assert len(set(found.values())) == len(found), "a message is shown twice"
    assert len(files) == len(places) == len(found) > 20
    assert stored - removed <= set(found.values()), "a message is lost"
    for uid, name in found.items():
        assert names.get(str(uid), name) == name, "a message has another UID"
    witness.close()
