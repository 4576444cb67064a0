"""Sessions of one account in one loop, each in threads again and again, while others hold locks and change files.

No message is lost or there twice, each command has one answer, and each client's idea of numbers, UIDs and flags is
that of its session (`test_known_flags`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from pillarbox.lib.store import apart, patience
from pillarbox.lib.store.locks import fcntl_lock
from pillarbox.lib.store.maildir import intake, mailbox, scan, sync
from tests.imap.dialogue import MESSAGE, Client, run
from tests.imap.test_known_flags import Believer

SESSIONS: Final = 4
COMMANDS: Final = 40
"""Of each session."""
SOON: Final = 50_000_000
"""Nanoseconds after which what others changed in the same tick is found."""
NAMES: Final = ("INBOX", "A", "B")
_MARK: Final = re.compile(rb"letter-(\d+)\.")
_OPERATIONS: Final = (
    *("append", "append", "move", "move", "move", "expunge", "flag", "flag", "noop", "fetch", "read", "select"),
    *("status", "idle", "copy", "close"),
)


def letter(number: int) -> bytes:
    return MESSAGE.replace(b"first letter", b"letter-%d." % number)


class Ledger:
    """What was brought, and what may be gone; by the number of a letter."""

    def __init__(self) -> None:
        self.next = 0
        self.brought: Counter[int] = Counter()
        self.perhaps: Counter[int] = Counter()
        """Copies that may be there or not: removed, or not answered with OK."""
        self.removed: set[int] = set()

    def number(self) -> int:
        self.next += 1
        return self.next


class Member(Believer):
    """One session of the crowd."""

    def __init__(self, client: Client, name: str, ledger: Ledger, chance: random.Random) -> None:
        super().__init__(client, name)
        self.ledger = ledger
        self.chance = chance
        self.answers: Counter[bytes] = Counter()

    async def ask(self, command: str, literal: bytes | None = None, *, expunges: bool = True) -> bool:
        """Whether it was done; NO is for what is in use, or gone."""
        answer = await self.do(command, literal, expunges=expunges)
        assert answer.startswith((b"OK", b"NO [INUSE]", b"NO [EXPUNGEISSUED]", b"NO Some of")), f"{command}: {answer!r}"
        self.answers[answer.split()[0]] += 1
        return answer.startswith(b"OK")

    async def select(self) -> None:
        self.messages = []
        while not await self.ask(f"SELECT {self.chance.choice(NAMES)}"):
            self.messages = []

    async def letters(self, numbers: str) -> list[int]:
        """Which letters these are; none where one cannot be looked at."""
        lines = await self.client.command(f"FETCH {numbers} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [int(found) for line in lines for found in _MARK.findall(line)] if lines[-1][:2] == b"OK" else []

    async def step(self) -> None:
        chance, ledger = self.chance, self.ledger
        operation = chance.choice(_OPERATIONS)
        low = chance.randint(1, len(self.messages) or 1)
        some = f"{low}:{min(low + chance.randint(0, 2), len(self.messages) or 1)}"
        if not self.messages and operation not in ("append", "noop", "select", "status", "idle", "close"):
            operation = "noop"
        match operation:
            case "append":
                number = ledger.number()
                ledger.perhaps[number] += 1
                if await self.ask(f"APPEND {chance.choice(NAMES)}", letter(number)):
                    ledger.perhaps[number] -= 1
                    ledger.brought[number] += 1
            case "move":
                await self.ask(f"MOVE {some} {chance.choice(NAMES)}")
            case "copy":
                if letters := await self.letters(some):
                    ledger.perhaps.update(letters)
                    await self.ask(f"COPY {some} {chance.choice(NAMES)}")
            case "expunge":
                if letters := await self.letters(some):
                    ledger.removed.update(letters)
                    if await self.ask(f"STORE {some} +FLAGS (\\Deleted)", expunges=False):
                        await self.ask("EXPUNGE")
            case "flag":
                await self.ask(f"STORE {some} {chance.choice('+-')}FLAGS (\\Flagged $word{chance.randint(1, 3)})")
            case "fetch":
                await self.ask("FETCH 1:* (UID FLAGS)", expunges=False)
            case "read":
                await self.ask(f"FETCH {some} (BODY.PEEK[])", expunges=False)
            case "status":
                await self.ask(f"STATUS {chance.choice(NAMES)} (MESSAGES UNSEEN)")
            case "noop":
                await self.ask("NOOP")
            case "select":
                await self.select()
            case "close":
                await self.ask("UNSELECT")
                await self.select()
            case "idle":
                await self.client.send(b"i IDLE\r\n")
                for line in await self.client.until(b"+"):
                    self._take(line, True)
                await asyncio.sleep(0.002)
                await self.client.send(b"DONE\r\n")
                for line in await self.client.until(b"i"):
                    self._take(line, True)


async def disturb(root: Path, store: str, ledger: Ledger, chance: random.Random, over: asyncio.Event) -> None:
    """Another program: locks, for a moment, and changes what lies there."""
    while not over.is_set():
        with held(root, store, chance), suppress(FileNotFoundError):
            if chance.random() < 0.5:
                change(root, store, ledger, chance)
            await asyncio.sleep(chance.choice((0, 0.002, 0.02, 0.08)))
        await asyncio.sleep(0.005)


@contextmanager
def held(root: Path, store: str, chance: random.Random) -> Iterator[None]:
    """A lock, if it is to be had."""
    name = chance.choice(NAMES)
    if store == "maildir":
        directory = root / "Maildir" / ("" if name == "INBOX" else f".{name}")
        kind, path = chance.choice(
            [("flock", directory / "pillarbox-index"), ("dot", directory / "dovecot-uidlist.lock"), ("none", directory)]
        )
    else:
        path = root / "inbox" if name == "INBOX" else root / "mail" / name
        kind, path = chance.choice([("fcntl", path), ("dot", Path(f"{path}.lock")), ("none", path)])
    try:
        if kind == "dot":
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, f"{os.getppid()}:{os.uname().nodename}\n".encode())
        else:
            fd = os.open(path, os.O_RDONLY if kind == "none" else os.O_RDWR)
    except (FileExistsError, FileNotFoundError):
        yield
        return
    try:
        if kind == "flock":
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif kind == "fcntl":
            with suppress(patience.Later), patience.waiting(0):
                fcntl_lock(fd, exclusive=True)
        yield
    finally:
        os.close(fd)
        if kind == "dot":
            os.unlink(path)


def change(root: Path, store: str, ledger: Ledger, chance: random.Random) -> None:
    """Deliver a message, or change the flags of one."""
    if store != "maildir":
        return
    name = chance.choice(NAMES)
    directory = root / "Maildir" / ("" if name == "INBOX" else f".{name}")
    if chance.random() < 0.5:
        number = ledger.number()
        temporary = directory / "tmp" / f"{number}.foreign"
        temporary.write_bytes(letter(number).replace(b"\r\n", b"\n"))
        ledger.brought[number] += 1
        os.rename(temporary, directory / "new" / f"{number}.foreign")
    elif files := sorted(os.listdir(directory / "cur")):
        file = chance.choice(files)
        os.rename(
            directory / "cur" / file, directory / "cur" / f"{file.partition(':')[0]}:2,{chance.choice(['', 'F', 'S'])}"
        )


def place(tmp_path: Path, store: str) -> str:
    if store == "mbox":
        return f"mbox:{tmp_path}/mail:INBOX={tmp_path}/inbox"
    return f"maildir:{tmp_path}/Maildir"


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little is much, and threads change places all the time."""
    monkeypatch.setattr(sync, "LARGE", 2)
    monkeypatch.setattr(mailbox, "MANY", 1)
    monkeypatch.setattr(intake, "_MANY", 1)
    monkeypatch.setattr(apart, "longest", 0.15)
    monkeypatch.setattr(apart, "OF_ONE", 3)
    monkeypatch.setattr(patience, "IN_PLACE", 0.03)
    monkeypatch.setattr(scan, "_OWN_CHANGE_NS", SOON)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("in_threads")
@pytest.mark.parametrize(("store", "seed"), [("maildir", 1), ("maildir", 2), ("mbox", 3)])
def test_a_crowd_loses_nothing(tmp_path: Path, store: str, seed: int) -> None:
    chance = random.Random(seed)
    ledger = Ledger()

    async def member(number: int) -> Member:
        each = Member(Client(place(tmp_path, store)), f"session {number}", ledger, random.Random(seed * 100 + number))
        await each.select()
        return each

    async def live(each: Member) -> None:
        for _ in range(COMMANDS):
            await each.step()
            await each.check()

    async def dialogue() -> None:
        first = Client(place(tmp_path, store))
        for name in NAMES[1:]:
            await first.ok(f"CREATE {name}")
        members = [await member(number) for number in range(SESSIONS)]
        over = asyncio.Event()
        others = [asyncio.create_task(disturb(tmp_path, store, ledger, chance, over)) for _ in range(2)]
        async with asyncio.TaskGroup() as group:
            for each in members:
                group.create_task(live(each))
        over.set()
        await asyncio.gather(*others)
        await asyncio.sleep(2 * SOON / 1e9)
        found: Counter[int] = Counter()
        for name in NAMES:
            await first.ok(f"SELECT {name}")
            for line in await first.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]"):
                found.update(map(int, _MARK.findall(line)))
        for number in range(1, ledger.next + 1):
            least = 0 if number in ledger.removed else ledger.brought[number]
            most = ledger.brought[number] + ledger.perhaps[number]
            assert least <= found[number] <= most, f"letter {number}: {found[number]} of {least} to {most}"
        for each in members:
            await each.client.close()
        await first.close()

    run(dialogue())
