"""A session that works for long gives the others of its process their turns; counted in turns, not in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pillarbox.imapd.commands import fetch, store
from pillarbox.imapd.commands.command import Command, Syntax
from pillarbox.imapd.search import run as searching
from pillarbox.imapd.session import context
from pillarbox.imapd.session.answering import AnsweringSession
from tests.imap.dialogue import Client, location, run

MESSAGES = 300
"""Enough that what is done in steps takes some; a removal or a copy of so many is done in a thread."""
SOME = 50
STEPS = MESSAGES // searching.STEP


class Turns:
    """Counts the turns of the running loop, and how many of them a command has let pass."""

    def __init__(self) -> None:
        self.count = 0
        self.during: dict[str, int] = {}
        self._ticking = True
        self._tick()

    def _tick(self) -> None:
        self.count += 1
        if self._ticking:
            asyncio.get_running_loop().call_soon(self._tick)

    def end(self) -> None:
        self._ticking = False


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    turns = Turns()
    do = AnsweringSession.run

    async def noted(self: AnsweringSession, command: Command, syntax: Syntax) -> None:
        before = turns.count
        await do(self, command, syntax)
        turns.during[command.name] = turns.count - before

    monkeypatch.setattr(AnsweringSession, "run", noted)
    try:
        yield turns
    finally:
        turns.end()
        monkeypatch.setattr(AnsweringSession, "run", do)


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where every session has always worked too long."""
    monkeypatch.setattr(context, "TURN", -1.0)
    monkeypatch.setattr(fetch, "RUN", SOME)
    monkeypatch.setattr(store, "AT_ONCE", SOME)
    monkeypatch.setattr(searching, "MANY", SOME)
    for place in ("cur", "new", "tmp"):
        (tmp_path / "Maildir" / place).mkdir(parents=True)
    for number in range(MESSAGES):
        text = f"Message-ID: <{number}@x>\nReferences: <{number // 2}@x>\nSubject: letter {number}\n\nbody {number}\n"
        (tmp_path / "Maildir" / "cur" / f"{1_700_000_000 + number}.M1P1.h:2,").write_text(text)
    return location(tmp_path)


CASES = [
    ("SEARCH UNSEEN", STEPS),
    ("SEARCH BODY nowhere", MESSAGES),
    ("SEARCH TEXT nowhere", MESSAGES),
    ("SEARCH HEADER X-Kind nowhere", MESSAGES),
    ("SEARCH SUBJECT nowhere", MESSAGES),
    ("SEARCH MODSEQ 1", STEPS),
    ("SORT (SUBJECT DATE) UTF-8 ALL", MESSAGES),
    ("SORT (ARRIVAL) UTF-8 ALL", STEPS),
    ("THREAD REFERENCES UTF-8 ALL", MESSAGES),
    ("THREAD ORDEREDSUBJECT UTF-8 ALL", MESSAGES),
    ("FETCH 1:* (UID FLAGS)", MESSAGES // SOME),
    ("FETCH 1:* (ENVELOPE)", MESSAGES // SOME),
    ("FETCH 1:* (BODYSTRUCTURE)", MESSAGES // SOME),
    ("FETCH 1:* (BODY.PEEK[])", MESSAGES // SOME),
    ("FETCH 1:* (BODY[TEXT])", MESSAGES // SOME),
    ("FETCH 1:* (PREVIEW)", MESSAGES // SOME),
    (r"STORE 1:* +FLAGS (\Flagged)", MESSAGES // SOME),
    ("COPY 1:* Target", 1),
    ("MOVE 1:* Target", 1),
]


@pytest.mark.parametrize(("command", "least"), CASES, ids=[command for command, _ in CASES])
def test_a_long_command_lets_others_have_their_turns(
    mailbox: str, command: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialogue() -> None:
        client = Client(mailbox)
        await client.ok("CREATE Target")
        await client.ok("SELECT INBOX")
        with counted(monkeypatch) as turns:
            await client.ok(command)
        assert turns.during[command.split()[0]] >= least
        await client.close()

    run(dialogue())


def test_who_is_told_of_many_changes_lets_others_have_their_turns(
    mailbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialogue() -> None:
        client, other = Client(mailbox), Client(mailbox)
        for each in (client, other):
            await each.ok("ENABLE QRESYNC")
            lines = await each.ok("SELECT INBOX")
        (known,) = (int(line.split()[3].rstrip(b"]")) for line in lines if b"HIGHESTMODSEQ" in line)
        (validity,) = (int(line.split()[3].rstrip(b"]")) for line in lines if b"UIDVALIDITY" in line)
        await other.ok(r"STORE 1:* +FLAGS (\Flagged)")
        with counted(monkeypatch) as turns:
            assert sum(b" FETCH (" in line for line in await client.ok("NOOP")) == MESSAGES
            assert turns.during["NOOP"] >= STEPS
            lines = await client.ok(f"SELECT INBOX (QRESYNC ({validity} {known}))")
            assert sum(b" FETCH (" in line for line in lines) == MESSAGES
            assert turns.during["SELECT"] >= STEPS
        await client.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
        with counted(monkeypatch) as turns:
            await client.ok("EXPUNGE")
            assert turns.during["EXPUNGE"] >= 1
        await client.close()
        await other.close()

    run(dialogue())


def test_the_items_of_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "TURN", -1.0)

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("APPEND INBOX", b"Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n")
        await client.ok("SELECT INBOX")
        with counted(monkeypatch) as turns:
            items = " ".join(f"BINARY.PEEK[]<{number}.1>" for number in range(SOME))
            await client.ok(f"FETCH 1 ({items})")
        assert turns.during["FETCH"] >= SOME - 1
        await client.close()

    run(dialogue())
