"""Sessions of one account in one loop, each in threads again and again, while others hold locks and change files.

No message is lost or there twice, each command has one answer, and each client's idea of numbers, UIDs and flags is
that of its session (`test_known_flags`).  The same where the process is killed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from pillarbox.lib.store import apart, patience
from pillarbox.lib.store.locks import fcntl_lock
from pillarbox.lib.store.maildir import intake, mailbox, scan, sync
from pillarbox.lib.store.shared import OTHERS
from tests.imap.crowd import NAMES, SOON, Book, Member, gathered, letter, letters_at
from tests.imap.dialogue import Client, run
from tests.imap.test_acl import client as account

SESSIONS: Final = 4
COMMANDS: Final = 40
"""Of each session."""
KILLED: Final = 5
"""Times that a crowd is killed."""


async def disturb(root: Path, store: str, book: Book, chance: random.Random, over: asyncio.Event) -> None:
    """Another program: locks, for a moment, and changes what lies there."""
    while not over.is_set():
        with held(root, store, chance), suppress(FileNotFoundError):
            if chance.random() < 0.5:
                change(root, store, book, chance)
            await asyncio.sleep(chance.choice((0, 0.002, 0.02, 0.08)))
        await asyncio.sleep(0.005)


@contextmanager
def held(root: Path, store: str, chance: random.Random) -> Iterator[None]:
    """A lock, if it is to be had."""
    name = chance.choice(NAMES)
    if store in ("maildir", "shared"):
        home = root / "Maildir" if store == "maildir" else root / "example.org" / chance.choice(("ann", "bob"))
        directory = home / ("" if name == "INBOX" else f".{name}")
        kind, path = chance.choice(
            [("flock", directory / "pillarbox-index"), ("dot", directory / "dovecot-uidlist.lock"), ("none", directory)]
        )
    elif store == "mbox":
        path = root / "inbox" if name == "INBOX" else root / "mail" / name
        kind, path = chance.choice([("fcntl", path), ("dot", Path(f"{path}.lock")), ("none", path)])
    else:
        kind, path = "none", root
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


def change(root: Path, store: str, book: Book, chance: random.Random) -> None:
    """Deliver a message, or change the flags of one."""
    if store != "maildir":
        return
    name = chance.choice(NAMES)
    directory = root / "Maildir" / ("" if name == "INBOX" else f".{name}")
    if chance.random() < 0.5:
        number = book.number()
        temporary = directory / "tmp" / f"{number}.foreign"
        temporary.write_bytes(letter(number).replace(b"\r\n", b"\n"))
        book.note("brought", [number])
        os.rename(temporary, directory / "new" / f"{number}.foreign")
    elif files := sorted(os.listdir(directory / "cur")):
        file = chance.choice(files)
        os.rename(
            directory / "cur" / file, directory / "cur" / f"{file.partition(':')[0]}:2,{chance.choice(['', 'F', 'S'])}"
        )


def place(tmp_path: Path, store: str) -> str:
    if store == "mbox":
        return f"mbox:{tmp_path}/mail:INBOX={tmp_path}/inbox"
    return f"sqlite:{tmp_path}/mail.sqlite" if store == "sqlite" else f"maildir:{tmp_path}/Maildir"


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
@pytest.mark.parametrize(("store", "seed"), [("maildir", 1), ("maildir", 2), ("mbox", 3), ("sqlite", 4)])
def test_a_crowd_loses_nothing(tmp_path: Path, store: str, seed: int) -> None:
    chance = random.Random(seed)
    book = Book()
    where = place(tmp_path, store)

    async def dialogue() -> None:
        members = await gathered(where, SESSIONS, book, seed)
        over = asyncio.Event()
        others = [asyncio.create_task(disturb(tmp_path, store, book, chance, over)) for _ in range(2)]
        async with asyncio.TaskGroup() as group:
            for each in members:
                group.create_task(each.live(COMMANDS))
        over.set()
        await asyncio.gather(*others)
        await asyncio.sleep(2 * SOON / 1e9)
        book.check(await letters_at(Client(where)))
        for each in members:
            await each.client.close()

    run(dialogue())


@pytest.mark.usefixtures("in_threads")
@pytest.mark.parametrize("seed", [7, 10])
def test_a_crowd_of_two_accounts_loses_nothing(tmp_path: Path, seed: int) -> None:
    """Bob moves messages from and to the mailboxes that Ann shares with him, while she does."""
    chance = random.Random(seed)
    book = Book()
    ann, bob = "ann@example.org", "bob@example.org"
    hers = [f'"{OTHERS}/{ann}/{name}"' for name in ("A", "B")]

    async def member(number: int) -> Member:
        who, names = ((ann, NAMES), (bob, ("INBOX", *hers)))[number % 2]
        each = Member(account(tmp_path, who), f"{who} {number}", book, random.Random(seed * 100 + number), names)
        await each.select()
        return each

    async def dialogue() -> None:
        first = account(tmp_path, ann)
        for name in ("A", "B"):
            await first.ok(f"CREATE {name}")
            await first.ok(f"SETACL {name} {bob} lrswite")
        members = [await member(number) for number in range(SESSIONS)]
        over = asyncio.Event()
        others = [asyncio.create_task(disturb(tmp_path, "shared", book, chance, over)) for _ in range(2)]
        async with asyncio.TaskGroup() as group:
            for each in members:
                group.create_task(each.live(COMMANDS))
        over.set()
        await asyncio.gather(*others)
        book.check(await letters_at(first) + await letters_at(account(tmp_path, bob), ("INBOX",)))
        for each in members:
            await each.client.close()

    run(dialogue())


@pytest.mark.parametrize("store", ["maildir", "mbox"])
def test_a_crowd_that_is_killed_loses_nothing(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_OWN_CHANGE_NS", SOON)
    book = Book()
    where = place(tmp_path, store)
    for seed in range(KILLED):
        command = [sys.executable, "-m", "tests.imap.crowd", where, str(seed), str(book.next)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            for _, line in zip(range(20 + 7 * seed), program.stdout, strict=False):
                take(book, line)
            program.kill()
            for line in program.stdout:
                take(book, line)
        run(checked(book, where))


async def checked(book: Book, where: str) -> None:
    await asyncio.sleep(2 * SOON / 1e9)  # what died may have changed something in the tick of its last look
    book.check(await letters_at(Client(where)))


def take(book: Book, line: str) -> None:
    """What the journal of a killed crowd says."""
    what, *numbers = line.split()
    book.note(what, map(int, numbers))
