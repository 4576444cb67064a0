"""What goes wrong below a session: one message fails, or one command, and the session lives; nothing is half-written.

SIGKILL at any moment of MOVE, EXPUNGE, APPEND and COPY, hundreds of times: no message is lost or doubled on re-open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.imapd.session.loop import SessionLoop
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.config import Config
from pillarbox.lib.login import ClientConnection
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import INBOX, Store
from pillarbox.lib.store.maildir.filename import arrival_key
from tests.imap.dialogue import MESSAGE, Client, run

KINDS = ("maildir", "mbox", "sqlite")
ROUNDS = 50
"""Kills of each kind of store: enough to hit each step of each command."""


def place(kind: str, folder: Path) -> str:
    return f"{kind}:{folder}/mail" + (".sqlite" if kind == "sqlite" else "")


async def filled(location: str, count: int = 3) -> Client:
    client = Client(location)
    for number in range(1, count + 1):
        await client.ok("APPEND INBOX", MESSAGE.replace(b"first letter", b"letter %d" % number))
    await client.ok("SELECT INBOX")
    return client


def files(folder: Path) -> list[Path]:
    """The messages of a Maildir in the order of their UIDs."""
    mail = folder / "mail"
    return sorted([*(mail / "cur").iterdir(), *(mail / "new").iterdir()], key=lambda path: arrival_key(path.name))


def removed(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def grown(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more\n" * 10_000)


def garbled(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def made_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def made_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def made_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("fault", [removed, emptied, cut, grown, garbled, made_a_link, made_a_directory, made_a_fifo])
@pytest.mark.parametrize("fetched", [False, True], ids=["unknown", "fetched before"])
def test_a_message_file_that_is_damaged_under_a_session_fails_alone(
    tmp_path: Path, fault: Callable[[Path], None], fetched: bool
) -> None:
    async def dialogue() -> None:
        client = await filled(place("maildir", tmp_path))
        if fetched:
            await client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
        fault(files(tmp_path)[1])
        for question in ("FETCH 2 BODY[]", "FETCH 2 (ENVELOPE BODYSTRUCTURE)", "FETCH 2 BODY[TEXT]<0.10>"):
            lines = await client.command(question)
            assert lines[-1].split()[0] in (b"OK", b"NO"), lines
        for item in ("BODY[]", "ENVELOPE", "BODYSTRUCTURE"):
            lines = await client.command(f"UID FETCH 1:3 {item}")
            assert lines[-1].split()[0] in (b"OK", b"NO"), lines
            for uid in (1, 3):
                assert any(b"UID %d " % uid in line or b"UID %d)" % uid in line for line in lines), (item, lines)
        for command in ("SEARCH BODY Bob", "UID STORE 2 +FLAGS (\\Flagged)", "UID COPY 1:3 INBOX", "NOOP", "CHECK"):
            lines = await client.command(command)
            assert lines[-1].split()[0] in (b"OK", b"NO"), (command, lines)
        await client.ok("UID FETCH 1 BODY[]")
        await client.ok("NOOP")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("fault", [made_a_link, made_a_directory, made_a_fifo])
def test_a_search_leaves_out_what_cannot_be_read_and_says_so(tmp_path: Path, fault: Callable[[Path], None]) -> None:
    async def dialogue() -> None:
        client = await filled(place("maildir", tmp_path))
        fault(files(tmp_path)[1])
        for command, answer in (
            ("SEARCH BODY this", b"* SEARCH 1 3"),
            ("SEARCH NOT BODY nowhere", b"* SEARCH 1 3"),
            ("SORT (ARRIVAL) UTF-8 TEXT bob", b"* SORT 1 3"),
        ):
            lines = await client.ok(command)
            assert answer in lines and b"* NO Messages that cannot be read are left out: 1." in lines, lines
        await client.close()

    run(dialogue())


def test_a_search_of_a_store_that_is_away_fails(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(place("maildir", tmp_path), 12)
        for path in files(tmp_path):
            made_a_directory(path)
        assert (await client.command("SEARCH BODY this"))[-1].startswith(b"NO [UNAVAILABLE]")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "name",
    [
        "dovecot-uidlist",
        "dovecot-keywords",
        "dovecot-uidvalidity",
        "maildirsize",
        "subscriptions",
        "pillarbox-index",
        "pillarbox.cache",
        "pillarbox-modseq",
        "pillarbox-text",
        "pillarbox-urlauth",
    ],
)
def test_a_fifo_in_place_of_a_file_beside_the_messages_stops_nobody(tmp_path: Path, name: str) -> None:
    async def dialogue() -> None:
        client = await filled(place("maildir", tmp_path))
        await client.close()
        path = tmp_path / "mail" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        client = Client(place("maildir", tmp_path))
        for command in (
            "SELECT INBOX",
            "FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])",
            "STORE 1 +FLAGS ($a)",
            "COPY 1 INBOX",
        ):
            lines = await client.command(command)
            assert lines[-1].split()[0] in (b"OK", b"NO", b"BAD"), (command, lines)
        await client.close()

    run(dialogue())


def test_a_large_message_cut_while_it_is_sent_never_leaves_the_client_out_of_step(tmp_path: Path) -> None:
    large = MESSAGE + b"0123456789\r\n" * 400_000

    async def dialogue() -> None:
        client = await filled(place("maildir", tmp_path), 1)
        await client.ok("APPEND INBOX", large)
        await client.ok("NOOP")
        await client.send(b"x FETCH 2 BODY[]\r\n")
        await asyncio.sleep(0)  # the answer has begun
        os.truncate(max(files(tmp_path), key=lambda path: path.stat().st_size), 1_000_000)
        try:
            lines = await client.until(b"x")
        except AssertionError:
            lines = [b""]  # cut off in the literal: the connection was closed, which is right too
        if lines[-1]:
            await client.ok("NOOP")
        await client.close()
        again = Client(place("maildir", tmp_path))
        await again.ok("SELECT INBOX")
        await again.ok("FETCH 1 BODY[]")
        await again.close()

    run(dialogue())


HOLDS_UIDS = ("mail/dovecot-uidlist", "mail/.pillarbox/INBOX.index")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("maildir", "mail/dovecot-uidlist"),
        ("maildir", "mail/pillarbox-index"),
        ("maildir", "mail/pillarbox.cache"),
        ("maildir", "mail/dovecot-keywords"),
        ("mbox", "mail/.pillarbox/INBOX.index"),
    ],
)
@pytest.mark.parametrize("fault", [removed, emptied, cut, garbled])
def test_notes_that_are_damaged_under_a_session_lose_no_message(
    tmp_path: Path, kind: str, name: str, fault: Callable[[Path], None]
) -> None:
    """Other sessions go on too: a UIDVALIDITY that changes under one ends it with BYE."""
    location = place(kind, tmp_path)

    async def dialogue() -> None:
        client = await filled(location)
        await client.ok("STORE 1 +FLAGS (word)")
        await client.ok("FETCH 1:* (ENVELOPE)")
        path = tmp_path / name
        if path.exists():
            fault(path)
        for command in ("NOOP", "FETCH 1:3 (FLAGS ENVELOPE)", "STORE 1 +FLAGS (\\Seen other)", "CHECK"):
            try:
                lines = await client.command(command)
            except ConnectionError:  # what it said before it went, the BYE last
                lines = []
                while line := await client.line():
                    lines.append(line)
            if any(line.startswith(b"* BYE ") for line in lines):
                assert name in HOLDS_UIDS, lines
                break
            assert lines[-1].split()[0] in (b"OK", b"NO"), lines
        await client.close()
        again = Client(location)
        await again.ok("SELECT INBOX")
        lines = await again.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert sorted(re.findall(rb"letter \d", b"".join(lines))) == [b"letter 1", b"letter 2", b"letter 3"]
        await again.close()  # where the UIDs were lost it may be told at any moment that they are others now
        last = Client(location)
        await last.ok("APPEND INBOX", MESSAGE)
        assert b"* 4 EXISTS" in await last.ok("SELECT INBOX")
        await last.ok("NOOP")
        await last.close()

    pid = os.fork()  # a mapped file that is cut would end the process
    if pid == 0:
        status = 1
        try:
            run(dialogue())
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")


@needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path, kind: str) -> None:
    location = place(kind, tmp_path)

    def texts() -> Counter[bytes]:
        store = open_store(location)
        found: Counter[bytes] = Counter()
        for entry in store.list():
            with store.open(entry.name) as mailbox:
                for uid in mailbox.messages.uids:
                    with mailbox.read(uid) as content:
                        found[content.read()] += 1
        store.close()
        return found

    async def dialogue() -> None:
        client = await filled(location, 1)
        await client.ok("CREATE Away")
        body = MESSAGE + os.urandom(100_000).hex().encode() + b"\r\n"
        await client.ok("APPEND INBOX", body)
        await client.ok("NOOP")
        before = texts()
        ballast = tmp_path / "ballast"
        fill = open(ballast, "wb", buffering=0)
        with contextlib.suppress(OSError):
            while True:
                fill.write(b"\0" * 4096)
        refused = 0
        for command, literal in (
            ("APPEND INBOX", MESSAGE + os.urandom(100_000).hex().encode()),
            ("COPY 1:2 Away", None),
            ("STORE 2 +FLAGS (\\Seen)", None),
            ("APPEND Away", MESSAGE + os.urandom(200_000).hex().encode()),
        ):
            lines = await client.command(command, literal)
            if lines[-1].startswith(b"NO"):
                assert re.match(rb"NO \[(OVERQUOTA|SERVERBUG|UNAVAILABLE)\]", lines[-1]), lines
                refused += 1
            else:
                assert lines[-1].startswith(b"OK"), lines
        assert refused >= 2
        fill.close()
        ballast.unlink()
        after = texts()
        assert set(after) == set(before) and after[body] <= 2, "something is half-written"
        await client.ok("APPEND INBOX", MESSAGE + b"later")
        await client.ok("COPY 1:2 Away")
        await client.ok("UID MOVE 1 Away")
        await client.ok("STORE 1 +FLAGS (\\Deleted)")
        await client.ok("EXPUNGE")
        await client.close()

    with mounted(tmp_path, "size=3M"):
        run(dialogue())


@needs_root
@pytest.mark.parametrize("kind", ["maildir", "mbox"])  # what has a file open for writing cannot be remounted
def test_a_file_system_that_becomes_read_only_is_said_and_mail_can_be_read(tmp_path: Path, kind: str) -> None:
    location = place(kind, tmp_path)

    async def dialogue() -> None:
        client = await filled(location)
        await client.ok("CREATE Away")
        await client.ok("FETCH 1 BODY[]")
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        for command, literal in (
            ("APPEND INBOX", MESSAGE),
            ("COPY 1 Away", None),
            ("UID MOVE 2 Away", None),
            ("CREATE New", None),
            ("STORE 3 +FLAGS (\\Deleted)", None),
        ):
            lines = await client.command(command, literal)
            assert lines[-1].startswith(b"NO ["), (command, lines)
        lines = await client.command("EXPUNGE")
        assert lines[-1].split()[0] in (b"OK", b"NO")
        if kind != "mbox":  # it cannot be read without its lock
            await client.ok("FETCH 2:3 BODY.PEEK[]")
        subprocess.run(["mount", "-o", "remount,rw", tmp_path], check=True)
        await client.ok("APPEND INBOX", MESSAGE)
        assert len(await client.ok("FETCH 1:3 (UID)")) >= 3
        await client.close()

    with mounted(tmp_path, "size=8M"):
        run(dialogue())


# --- killed


def letter(number: int) -> bytes:
    return b"Subject: %d\r\n\r\n" % number + b"body of %d\r\n" % number * 20


def where(store: Store) -> dict[str, list[tuple[int, int]]]:
    """UID and number of each message, by mailbox; every message is whole."""
    found = {}
    for name in (INBOX, "Away"):
        with store.open(name) as mailbox:
            rows = []
            for uid in mailbox.messages.uids:
                with mailbox.read(uid) as content:
                    text = content.read()
                number = int(text[9 : text.index(b"\r")])
                assert text == letter(number), "a message is not whole"
                rows.append((uid, number))
            found[name] = rows
    return found


def test_when_the_kernel_has_lost_events_everybody_looks(tmp_path: Path) -> None:
    woken: list[int] = []

    async def lost() -> None:
        watcher = Watcher()
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            assert watcher.watch([str(tmp_path / str(number))], lambda number=number: woken.append(number))  # type: ignore[misc]
        reader, writer = os.pipe()
        os.write(writer, struct.pack("iIII", -1, 0x4000, 0, 0))  # IN_Q_OVERFLOW
        os.dup2(reader, watcher._fd)
        watcher.drain()
        watcher.close()
        os.close(reader)
        os.close(writer)

    asyncio.run(lost())
    assert woken == [0, 1]


def serve(location: str, theirs: socket.socket) -> None:
    """In a process of its own: one session, until its client goes away."""

    async def session() -> None:
        watcher = Watcher()
        connection = ClientConnection(theirs)
        await SessionLoop(Config.for_tests(), open_store(location), connection, "bob", watcher).serve()

    asyncio.run(session())


def killed(location: str, data: bytes, delay: float) -> bytes:
    """Send all of `data` to a session and kill it after `delay` seconds; what it had answered."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            theirs.setblocking(False)
            serve(location, theirs)
        finally:
            os._exit(0)
    theirs.close()
    answer = b""
    with ours:
        ours.sendall(b"s SELECT INBOX\r\n")
        ours.settimeout(20)
        while b"\ns OK" not in answer:
            answer += ours.recv(65536)
        ours.sendall(data)
        ours.setblocking(False)
        end = time.monotonic() + delay
        while (left := end - time.monotonic()) > 0 and b"\nlast " not in answer:
            if select.select([ours], [], [], left)[0]:
                answer += ours.recv(65536)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            while piece := ours.recv(65536):
                answer += piece
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, kind: str) -> None:
    location = place(kind, tmp_path)
    store = open_store(location)
    store.create("Away")
    number = 0
    while number < 8:
        number += 1
        store.append(INBOX, [letter(number)])
    store.close()
    chance = random.Random(kind)
    unanswered: Counter[str] = Counter()
    for _ in range(ROUNDS):
        before = where(open_store(location))
        commands, number = _commands(before, chance, number)
        data = b"".join(b"%b %b\r\n" % (tag.encode(), text) for tag, text in commands)
        answer = killed(location, data + b"last NOOP\r\n", chance.random() ** 2 * 0.06)
        done = {tag for tag, _ in commands if re.search(rb"^%b OK" % tag.encode(), answer, re.MULTILINE)}
        unanswered.update(tag.partition("-")[0] for tag, _ in commands if tag not in done)
        after = where(open_store(location))
        _check(before, after, [tag for tag, _ in commands], done)
    assert {"append", "move", "copy", "expunge"} <= set(unanswered), "no command was ever interrupted"


def _commands(
    before: dict[str, list[tuple[int, int]]], chance: random.Random, number: int
) -> tuple[list[tuple[str, bytes]], int]:
    """Each message of INBOX has at most one thing done to it."""
    free = list(before[INBOX])
    chance.shuffle(free)
    commands = []
    for _ in range(10):
        verb = chance.choice(("append", "append", "move", "copy", "expunge"))
        if verb == "append" or not free:
            number += 1
            text = letter(number)
            commands.append((f"append-{number}", b"APPEND INBOX {%d+}\r\n%b" % (len(text), text)))
            continue
        uid, other = free.pop()
        if verb == "move":
            commands.append((f"move-{other}", b"UID MOVE %d Away" % uid))
        elif verb == "copy":
            commands.append((f"copy-{other}", b"UID COPY %d Away" % uid))
        else:
            commands.append((f"flag-{other}", b"UID STORE %d +FLAGS.SILENT (\\Deleted)" % uid))
            commands.append((f"expunge-{other}", b"UID EXPUNGE %d" % uid))
    return commands, number


def _check(
    before: dict[str, list[tuple[int, int]]], after: dict[str, list[tuple[int, int]]], tags: list[str], done: set[str]
) -> None:
    was = {name: Counter(number for _, number in rows) for name, rows in before.items()}
    now = {name: Counter(number for _, number in rows) for name, rows in after.items()}
    touched = set()
    for tag in tags:
        verb, _, digits = tag.partition("-")
        number = int(digits)
        if verb == "flag":
            continue
        touched.add(number)
        inbox, away = now[INBOX][number] - was[INBOX][number], now["Away"][number] - was["Away"][number]
        possible = {
            "append": [(1, 0)] if tag in done else [(0, 0), (1, 0)],
            "move": [(-1, 1)] if tag in done else [(0, 0), (-1, 1)],
            "copy": [(0, 1)] if tag in done else [(0, 0), (0, 1)],
            "expunge": [(-1, 0)] if tag in done else [(0, 0), (-1, 0)],
        }[verb]
        assert (inbox, away) in possible, (tag, tag in done, inbox, away)
    for name in was:
        for number in set(was[name]) | set(now[name]):
            assert number in touched or was[name][number] == now[name][number], (name, number)
    kept = dict(after[INBOX])
    for uid, number in before[INBOX]:
        assert kept.get(uid, number) == number, "a UID means another message"


# --- the selected mailbox goes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("idling", [False, True])
def test_who_idles_in_a_mailbox_that_goes_is_dismissed(tmp_path: Path, kind: str, idling: bool) -> None:
    """RFC 2180 section 3.3. A tagged answer between "+" and DONE would be taken for one to the command after."""

    async def dialogue() -> None:
        one = Client(place(kind, tmp_path), imap_idle_check_interval="0.05s")
        two = Client(place(kind, tmp_path))
        await one.ok("CREATE Gone")
        await one.ok("SELECT Gone")
        if idling:
            await one.send(b"i IDLE\r\n")
            assert (await one.line()).startswith(b"+")
        await two.ok("DELETE Gone")
        if not idling:
            await one.send(b"i IDLE\r\n")
            assert (await one.line()).startswith(b"+")
        assert await one.line() == b"* BYE The mailbox was deleted or renamed; please reconnect."
        assert await one.line() == b""
        await two.close()

    run(dialogue())
