"""Dovecot and our sessions on one Maildir at the same time: the same UIDs, the same flags, nothing lost."""

from __future__ import annotations

import contextlib
import imaplib
import os
import random
import re
import time
from collections.abc import Iterator

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import ANSWERED, DELETED, FLAGGED, INBOX, SEEN, SYSTEM_FLAGS, Mailbox
from pillarbox.lib.store.maildir import scan
from tests.peers.dovecot import Dovecot

STEPS = 40


def letter(name: str) -> bytes:
    return f"Subject: {name}\r\n\r\nbody\r\n".encode()


def ours(mailbox: Mailbox) -> dict[int, tuple[str, int, frozenset[str]]]:
    mailbox.refresh()
    found = {}
    for state in mailbox.messages:
        with mailbox.read(state.uid) as content:
            name = content.header().split(b"Subject: ")[1].split(b"\r\n")[0].decode()
        found[state.uid] = (name, state.flags, state.keywords)
    return found


def theirs(client: imaplib.IMAP4) -> dict[int, tuple[str, int, frozenset[str]]]:
    client.noop()
    _, data = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = {}
    for part in data:
        if isinstance(part, tuple):
            uid = int(re.search(rb"UID ([0-9]+)", part[0])[1])  # type: ignore[index]
            flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])[1].decode().split()  # type: ignore[index]
            bits = sum(SYSTEM_FLAGS.get(flag, 0) for flag in flags)
            words = frozenset(flag for flag in flags if flag[0] != "\\")
            found[uid] = (part[1].decode().split("Subject: ")[1].strip(), bits, words)
    return found


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with Dovecot({"bob": "secret"}) as server:
        yield server


def test_dovecot_and_our_sessions_on_one_maildir(dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_OWN_CHANGE_NS", 50_000_000)
    client = imaplib.IMAP4(dovecot.address, dovecot.port("imap"))
    client.login("bob", "secret")
    client.append("INBOX", "", "", letter("theirs-0"))
    client.select("INBOX")
    root = dovecot.maildir("bob")
    chance = random.Random(5)
    owner = os.stat(root).st_uid
    with contextlib.ExitStack() as held:
        os.setegid(owner)
        held.callback(os.setegid, 0)
        os.seteuid(owner)
        held.callback(os.seteuid, 0)
        store = open_store(f"maildir:{root}")
        held.callback(store.close)
        mine, other = (held.enter_context(store.open(INBOX)) for _ in range(2))
        known: dict[int, str] = {}
        for step in range(STEPS):
            uids = [int(uid) for uid in mine.messages.uids]
            uid = chance.choice(uids) if uids else 0
            action = chance.randrange(8) if uids else chance.randrange(2)
            if action == 0:
                client.append("INBOX", chance.choice(["", "(\\Seen)"]), "", letter(f"theirs-{step}"))
            elif action == 1:
                store.append(INBOX, [letter(f"ours-{step}")], chance.choice([0, SEEN]))
            elif action == 2:
                client.uid("STORE", str(uid), "FLAGS", chance.choice(["(\\Flagged)", "(\\Seen Theirs)", "()"]))
            elif action in (3, 4):
                mine.set_flags([uid], "replace", chance.choice([0, ANSWERED, FLAGGED]), chance.choice([(), {"Ours"}]))
            elif action == 5 and len(uids) > 2:
                client.uid("STORE", str(uid), "+FLAGS", "(\\Deleted)")
                client.expunge()
            elif action == 6 and len(uids) > 2:
                other.refresh()
                other.set_flags([uid], "add", DELETED)
                other.expunge([uid])
            else:
                (root / "new" / f"{int(time.time())}.M{step}P1.h").write_bytes(letter(f"new-{step}"))
            deadline = time.monotonic() + 40
            while (seen := theirs(client)) != ours(mine) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert ours(mine) == seen, f"after step {step}"
            assert ours(other) == seen
            for uid, (name, _, _) in seen.items():
                assert known.setdefault(uid, name) == name
    client.logout()
    assert not [line for line in dovecot.log_lines() if "Error" in line or "Warning" in line]
