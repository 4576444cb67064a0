"""A session that has to wait for another program, or to work for long, holds up no other session of its process."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pillarbox.imapd.session import waker
from pillarbox.imapd.session.context import Session
from pillarbox.imapd.session.notifier import Notifier
from pillarbox.lib.store import apart, patience
from pillarbox.lib.store.interface import MailboxBusy
from pillarbox.lib.store.maildir import sync
from pillarbox.lib.store.maildir.mailbox import MaildirMailbox
from pillarbox.lib.store.maildir.scan import Directories
from pillarbox.lib.store.maildir.view import OwnChanges
from pillarbox.lib.store.patience import Later
from tests.imap.dialogue import MESSAGE, Client, run
from tests.imap.test_acl import BOX, shared
from tests.store.holder import Kind, held

TURNS = 30
"""Commands that the other session has answered meanwhile."""


def place(tmp_path: Path, store: str) -> str:
    if store == "mbox":
        return f"mbox:{tmp_path}/mail:INBOX={tmp_path}/inbox"
    return f"maildir:{tmp_path}/Maildir"


async def ready(where: str, count: int = 3) -> tuple[Client, Client]:
    """A client with a filled INBOX selected, and one beside it in the same process."""
    client, other = Client(where), Client(where)
    for _ in range(count):
        await client.ok("APPEND INBOX", MESSAGE)
    await client.ok("CREATE Target")
    await client.ok("STATUS Target (UIDNEXT)")
    await client.ok("SELECT INBOX")
    return client, other


MAILDIR = [
    ("dot", "Maildir/.Target/dovecot-uidlist", "COPY 1 Target"),
    ("dot", "Maildir/.Target/dovecot-uidlist", "MOVE 1 Target"),
    ("dot", "Maildir/.Target/dovecot-uidlist", "RENAME Target Other"),
    ("dot", "Maildir/.Target/dovecot-uidlist", "DELETE Target"),
    ("dot", "Maildir/subscriptions", "SUBSCRIBE Target"),
    ("flock", "Maildir/pillarbox-index", r"STORE 1 +FLAGS (\Answered)"),
    ("flock", "Maildir/pillarbox-index", "FETCH 1 (BODY[])"),
    ("flock", "Maildir/pillarbox-index", "EXPUNGE"),
    ("flock", "Maildir/pillarbox-index", "CLOSE"),
]
MBOX = [
    ("dot", "inbox", r"STORE 1 +FLAGS (\Answered)"),
    ("fcntl", "inbox", r"STORE 1 +FLAGS (\Answered)"),
    ("fcntl", "inbox", "FETCH 1:3 (BODY[])"),
    ("dot", "inbox", "FETCH 1 (BODY.PEEK[])"),
    ("fcntl", "inbox", "EXPUNGE"),
    ("fcntl", "mail/Target", "COPY 1 Target"),
    ("fcntl", "mail/Target", "MOVE 1 Target"),
    ("fcntl", "mail/Target", "SELECT Target"),
]
CASES = [("maildir", *case) for case in MAILDIR] + [("mbox", *case) for case in MBOX]


async def deliver_to_target(tmp_path: Path) -> None:
    """Mail that the store has not seen, so that a look at it needs the lock."""
    with open(tmp_path / "mail" / "Target", "ab") as file:
        file.write(b"From a@example.org Mon Jan  1 10:00:00 2024\nSubject: x\n\nx\n\n")


@pytest.mark.parametrize(("store", "kind", "path", "command"), CASES)
def test_others_go_on_while_one_waits_for_a_lock(
    tmp_path: Path, store: str, kind: Kind, path: str, command: str
) -> None:
    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, store))
        await client.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
        if command == "SELECT Target":
            await deliver_to_target(tmp_path)
        with held(kind, tmp_path / path):
            waits = asyncio.create_task(client.command(command))
            for _ in range(TURNS):
                await other.ok("NOOP")
            assert not waits.done(), waits.result()
        assert (await waits)[-1].startswith(b"OK")
        await client.close()
        await other.close()

    run(dialogue())


def test_others_go_on_while_an_appended_message_waits_for_its_uid(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, "maildir"))
        with held("dot", tmp_path / "Maildir" / "dovecot-uidlist"):
            waits = asyncio.create_task(client.command("APPEND INBOX", MESSAGE))
            for _ in range(TURNS):
                await other.ok("NOOP")
            assert not waits.done(), waits.result()
        answer = await waits
        assert b"* 4 EXISTS" in answer and answer[-1].startswith(b"OK [APPENDUID")
        await client.close()
        await other.close()

    run(dialogue())


def test_others_go_on_while_a_message_waits_on_its_way_between_accounts(tmp_path: Path) -> None:
    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrswite")
        await bob.ok(f'SELECT "{BOX}"')
        await bob.ok("STATUS INBOX (UIDNEXT)")
        with held("dot", tmp_path / "example.org" / "bob" / "dovecot-uidlist"):
            waits = asyncio.create_task(bob.command("MOVE 1 INBOX"))
            for _ in range(TURNS):
                await ann.ok("NOOP")
            assert not waits.done(), waits.result()
        assert (await waits)[-1].startswith(b"OK")
        assert b"* STATUS INBOX (MESSAGES 1)" in await bob.ok("STATUS INBOX (MESSAGES)")
        await bob.close()
        await ann.close()

    run(dialogue())


def test_who_waits_in_vain_is_told_that_the_mailbox_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "longest", 0.1)

    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, "maildir"))
        with held("dot", tmp_path / "Maildir" / ".Target" / "dovecot-uidlist"):
            answers = [await client.command(f"{word} 1 Target") for word in ("COPY", "MOVE")]
        assert [lines[-1][:10] for lines in answers] == [b"NO [INUSE]"] * 2
        assert not os.listdir(tmp_path / "Maildir" / ".Target" / "tmp"), "half of a copy is left"
        assert b"* STATUS Target (MESSAGES 0)" in await other.ok("STATUS Target (MESSAGES)")
        await client.ok("MOVE 1 Target")
        await client.close()
        await other.close()

    run(dialogue())


def test_messages_can_be_read_although_nobody_can_mark_them_as_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, "maildir"))
        expected = await client.ok("FETCH 1:* (BODY.PEEK[])")
        waits: list[float] = []
        busy = patience.busy
        monkeypatch.setattr(patience, "busy", lambda text: waits.append(1) or busy(text))
        monkeypatch.setattr(apart, "longest", 0.1)
        with held("flock", tmp_path / "Maildir" / "pillarbox-index"):
            assert await client.ok("FETCH 1:* (BODY[])") == expected
        assert len(waits) == 2, "once in haste and once in a thread, not for each message"
        monkeypatch.undo()
        assert b"FLAGS (\\Seen" in b"".join(await client.ok("FETCH 1:* (BODY[])"))
        await client.close()
        await other.close()

    run(dialogue())


def test_a_move_between_accounts_that_waits_in_vain_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrswite")
        await bob.ok(f'SELECT "{BOX}"')
        monkeypatch.setattr(apart, "longest", 0.1)
        with held("flock", tmp_path / "example.org" / "ann" / ".Box" / "pillarbox-index"):
            assert (await bob.command("MOVE 1 INBOX"))[-1].startswith(b"NO [INUSE]")
        monkeypatch.undo()
        assert b"* STATUS INBOX (MESSAGES 0)" in await bob.ok("STATUS INBOX (MESSAGES)")
        await bob.ok("MOVE 1 INBOX")
        assert b"* STATUS INBOX (MESSAGES 1)" in await bob.ok("STATUS INBOX (MESSAGES)")
        await bob.close()
        await ann.close()

    run(dialogue())


def test_a_move_between_accounts_that_breaks_off_tells_of_what_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = MaildirMailbox._remove

    def broken(self: MaildirMailbox, changes: OwnChanges, uid: int, counted: bool) -> int | None:
        if (self.name, uid) == ("Box", 2):
            raise OSError(errno.EIO, "broken")
        return remove(self, changes, uid, counted)

    async def dialogue() -> None:
        ann, bob = await shared(tmp_path, "lrswite")
        await ann.ok("APPEND Box", MESSAGE)
        await bob.ok(f'SELECT "{BOX}"')
        monkeypatch.setattr(MaildirMailbox, "_remove", broken)
        answer = await bob.command("MOVE 1:2 INBOX")
        assert b"* 1 EXPUNGE" in answer and answer[-1].startswith(b"NO")
        assert b"* STATUS INBOX (MESSAGES 1)" in await bob.ok("STATUS INBOX (MESSAGES)")
        assert await bob.ok("FETCH 1:* UID") == [b"* 1 FETCH (UID 2)"]
        await bob.close()
        await ann.close()

    run(dialogue())


def test_who_idles_is_told_later_of_what_could_not_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "longest", 0.05)
    monkeypatch.setattr(waker, "_FIRST_PAUSE", 0.05)
    look_again = waker.IdleWaker.look_again

    async def dialogue() -> None:
        failed = asyncio.Event()

        def noted(self: waker.IdleWaker) -> None:
            failed.set()
            look_again(self)

        monkeypatch.setattr(waker.IdleWaker, "look_again", noted)
        client, other = await ready(place(tmp_path, "maildir"))
        await client.send(b"i IDLE\r\n")
        assert (await client.line()).startswith(b"+ ")
        with held("flock", tmp_path / "Maildir" / "pillarbox-index"):
            (tmp_path / "Maildir" / "new" / "1.new").write_bytes(MESSAGE)
            await failed.wait()
        assert await client.line() == b"* 4 EXISTS"
        await client.send(b"DONE\r\n")
        assert (await client.until(b"i"))[-1].startswith(b"i OK")
        await client.close()
        await other.close()

    run(dialogue())


@pytest.mark.parametrize("first", [False, True])
def test_who_wants_events_is_told_later_of_a_mailbox_that_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """In use when NOTIFY comes, or when there is something to tell."""
    monkeypatch.setattr(apart, "longest", 0.05)
    monkeypatch.setattr(Session, "check_interval", 0.05)
    take_in = Notifier._take_in
    words = "(SUBTREE Target (MessageNew MessageExpunge))"

    async def dialogue() -> None:
        failed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def noted(self: Notifier, name: str, watched: Any) -> None:
            try:
                take_in(self, name, watched)
            except Later:
                raise
            except MailboxBusy:
                loop.call_soon_threadsafe(failed.set)
                raise

        monkeypatch.setattr(Notifier, "_take_in", noted)
        client, other = await ready(place(tmp_path, "maildir"))
        target = tmp_path / "Maildir" / ".Target"
        if not first:
            await client.ok(f"NOTIFY SET {words}")
        with held("flock", target / "pillarbox-index"):
            (target / "new" / "1.new").write_bytes(MESSAGE)
            if first:
                assert not await client.ok(f"NOTIFY SET STATUS {words}")
            await failed.wait()
        assert (await client.line()).startswith(b"* STATUS Target (MESSAGES 1 ")
        await client.close()
        await other.close()

    run(dialogue())


def test_what_others_do_while_an_own_change_is_looked_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = Notifier._take_in

    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, "maildir"))
        await client.ok("NOTIFY SET (SUBTREE Target (MessageNew MessageExpunge))")
        loop = asyncio.get_running_loop()
        came: list[str] = []

        def slowly(self: Notifier, name: str, watched: Any) -> None:
            take_in(self, name, watched)
            patience.give_way()
            if not came:
                came.append(name)
                asyncio.run_coroutine_threadsafe(other.ok("APPEND Target", MESSAGE), loop).result(20)

        monkeypatch.setattr(Notifier, "_take_in", slowly)
        await client.ok("APPEND Target", MESSAGE)
        assert came == ["Target"]
        assert (await client.line()).startswith(b"* STATUS Target (MESSAGES 2 ")
        await client.close()
        await other.close()

    run(dialogue())


def test_who_waits_when_the_service_stops_is_answered_first(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, "maildir"))
        with held("flock", tmp_path / "Maildir" / "pillarbox-index"):
            await client.send(b"a STORE 1 +FLAGS.SILENT (\\Flagged)\r\nb NOOP\r\n")
            for _ in range(TURNS):
                await other.ok("NOOP")
            client.session.stop()
        lines = [await client.line() for _ in range(3)]
        assert [line[:4] for line in lines] == [b"a OK", b"b OK", b"* BY"]
        await client.close()
        await other.close()

    run(dialogue())


def test_a_client_that_goes_while_its_session_waits_leaves_nothing_open(tmp_path: Path) -> None:
    async def dialogue() -> None:
        first, other = await ready(place(tmp_path, "maildir"))
        before = len(os.listdir("/proc/self/fd"))
        client = Client(place(tmp_path, "maildir"))
        await client.ok("SELECT INBOX")
        with held("flock", tmp_path / "Maildir" / "pillarbox-index"):
            await client.send(b"a STORE 1 +FLAGS.SILENT (\\Flagged)\r\n")
            for _ in range(TURNS):
                await other.ok("NOOP")
            gone = asyncio.create_task(client.close())
            await other.ok("NOOP")
            assert not gone.done()
        await gone
        assert len(os.listdir("/proc/self/fd")) <= before
        assert b"\\Flagged" in (await first.ok("NOOP"))[0], "what had begun was not done"
        await first.close()
        await other.close()

    run(dialogue())


def test_a_large_mailbox_is_looked_at_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "LARGE", 2)
    here: list[bool] = []
    list_both = Directories.list_both

    def noted(self: Directories) -> tuple[set[bytes], set[bytes]]:
        here.append(threading.current_thread() is threading.main_thread())
        return list_both(self)

    monkeypatch.setattr(Directories, "list_both", noted)

    async def dialogue() -> None:
        client, other = await ready(place(tmp_path, "maildir"))
        await other.ok("SELECT INBOX")
        cur = tmp_path / "Maildir" / "cur"
        name = sorted(os.listdir(cur))[0]
        os.rename(cur / name, cur / f"{name.partition(':')[0]}:2,F")
        here.clear()
        first, second = await asyncio.gather(client.ok("NOOP"), other.ok("NOOP"))
        assert all(rb"FLAGS (\Flagged" in lines[0] for lines in (first, second))
        assert here and not any(here), "the event loop listed the directory"
        await client.close()
        await other.close()

    run(dialogue())
