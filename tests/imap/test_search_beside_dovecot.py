"""SEARCH, SORT and THREAD beside a real Dovecot: the same mailbox, the same answers.

Every message has a Date: (one without counts as sent in 1970 for Dovecot, and on its INTERNALDATE for us, as RFC 5256
wants), and none a letter like \u00df, which for us is like ss.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from email.header import Header
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.text.keeper import Limits, bring_up
from tests.imap.dialogue import Client, run
from tests.peers.dovecot import Dovecot

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a private Dovecot needs root")

WORDS = ["lunch", "report", "Mühle", "Über", "zebra", "Apple", "meeting", "notes", "Ärger", "Öl", "42", "x"]
PEOPLE = [
    "Ann <ann@example.org>",
    '"Bob, B." <Bob@example.net>',
    "carl@example.com",
    "=?utf-8?q?=C3=89mile?= <emile@example.fr>",
    "zoe@example.org",
]
COUNT = 120
QUERIES = 300


def mail(chance: random.Random, number: int, identifiers: list[str]) -> bytes:
    """A message that answers earlier ones, or none, or some that are not there."""
    words = " ".join(chance.choices(WORDS, k=chance.randint(1, 3)))
    prefix = chance.choice(["", "", "", "Re: ", "RE: Fwd: ", "[list] ", "[list] Re: "])
    subject = prefix + words + chance.choice(["", "", "", " (fwd)"])
    sender, to = chance.choice(PEOPLE), ", ".join(chance.sample(PEOPLE, chance.randint(1, 3)))
    identifier = f"<{number}.{chance.randint(0, 9)}@example.org>"
    day, month = chance.randint(1, 28), chance.choice(["Jan", "Feb", "Mar", "Dec"])
    zone = chance.choice(["+0000", "+0100", "-0800", "+0530"])
    lines = [f"From: {sender}", f"To: {to}"]
    lines[0:0] = [f"Subject: {Header(subject, 'utf-8').encode() if not subject.isascii() else subject}"]
    lines.append(f"Date: {day} {month} 2024 {chance.randint(0, 23):02}:{chance.randint(0, 59):02}:00 {zone}")
    if chance.random() < 0.3:
        lines.append(f"Cc: {chance.choice(PEOPLE)}")
    lines.append(f"Message-ID: {identifier}")
    known = [*identifiers, *(f"<missing{each}@example.org>" for each in range(5))]
    kind = chance.random()
    if kind < 0.5:
        lines.append("References: " + "\n ".join(chance.sample(known, min(len(known), chance.randint(1, 4)))))
    elif kind < 0.7:
        lines.append(f"In-Reply-To: {chance.choice(known)}")
    identifiers.append(identifier)
    body = " ".join(chance.choices(WORDS, k=30))
    head = "\n".join(lines).encode("ascii", "xmlcharrefreplace")
    return head + b"\nContent-Type: text/plain; charset=utf-8\n\n" + body.encode() + b"\n"


@pytest.fixture(scope="module")
def mailboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dovecot, Path]]:
    """A Dovecot with the mailbox, and a copy of the Maildir for us."""
    chance = random.Random(7)
    with Dovecot({"bob": "secret"}) as dovecot:
        theirs = dovecot.maildir("bob")
        for place in ("cur", "new", "tmp"):
            (theirs / place).mkdir(parents=True)
        identifiers: list[str] = []
        for number in range(COUNT):
            flags = "".join(letter for letter in "DFRST" if chance.random() < 0.3 and letter != "T")
            content = mail(chance, number, identifiers)
            path = theirs / "cur" / f"{1700000000 + number}.M{number}P1.host:2,{flags}"
            path.write_bytes(content)
            when = 1700000000 + chance.randint(0, 60 * 86400)
            os.utime(path, (when, when))
        ours = tmp_path_factory.mktemp("ours") / "Maildir"
        shutil.copytree(theirs, ours)
        owner = dovecot.directory / "mail"
        about = owner.stat()
        for path in (theirs.parent, theirs, *theirs.rglob("*")):
            os.chown(path, about.st_uid, about.st_gid)
        yield dovecot, ours


def theirs(dovecot: Dovecot, commands: list[str]) -> list[bytes]:
    """The untagged answer to each command."""
    answers = []
    where = dovecot.address, dovecot.port("imap")
    with socket.create_connection(where, timeout=60) as sock, sock.makefile("rb") as file:
        file.readline()
        for tag, command in enumerate(["LOGIN bob secret", "SELECT INBOX", *commands]):
            sock.sendall(f"t{tag} {command}\r\n".encode())
            lines = []
            while not (line := file.readline()).startswith(b"t%d " % tag):
                lines.append(line.rstrip())
            assert line.startswith(b"t%d OK" % tag), f"{command}: {line!r}"
            answers.append(lines)
    return [interesting(lines) for lines in answers[2:]]


def interesting(lines: list[bytes]) -> bytes:
    (line,) = [line for line in lines if line.split(b" ")[1] in (b"SEARCH", b"SORT", b"THREAD", b"ESEARCH")]
    if not line.startswith(b"* ESEARCH"):
        return line
    # The items of ESEARCH come in any order.
    return b" ".join(sorted(re.findall(rb"(?:MIN|MAX|COUNT|ALL|PARTIAL) (?:\(.*?\)|[^ ]+)", line)))


def compare(mailboxes: tuple[Dovecot, Path], commands: list[str]) -> None:
    dovecot, place = mailboxes
    wanted = theirs(dovecot, commands)

    async def dialogue() -> list[bytes]:
        client = Client(f"maildir:{place}")
        await client.ok("SELECT INBOX")
        answers = [interesting(await client.ok(command)) for command in commands]
        await client.close()
        return answers

    got = run(dialogue())
    different = [each for each in zip(commands, got, wanted, strict=True) if each[1] != each[2]]
    assert not different, f"{len(different)} of {len(commands)}: {different[:5]}"


def key(chance: random.Random, depth: int = 0) -> str:
    """A random search key."""
    kinds = 9 if depth < 3 else 6
    match chance.randrange(kinds):
        case 0:
            return chance.choice(["SEEN", "UNSEEN", "FLAGGED", "UNFLAGGED", "DRAFT", "ANSWERED", "UNDELETED", "ALL"])
        case 1:
            needle = chance.choice(WORDS)
            start = chance.randrange(len(needle))
            text = needle[start : start + chance.randint(1, 5)]
            return f'{chance.choice(["SUBJECT", "FROM", "TO", "CC", "BODY", "TEXT"])} "{text}"'
        case 2:
            field = chance.choice(["BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE"])
            month, year = chance.choice(["Jan", "Feb", "Nov", "Dec"]), chance.choice([2023, 2024])
            return f"{field} {chance.randint(1, 28)}-{month}-{year}"
        case 3:
            return f"{chance.choice(['LARGER', 'SMALLER'])} {chance.randint(300, 700)}"
        case 4:
            low, high = chance.randint(1, COUNT), chance.choice(["*", str(chance.randint(1, COUNT))])
            return f"{chance.choice(['', 'UID '])}{low}:{high}"
        case 5:
            field, text = chance.choice(["References", "In-Reply-To", "X-None"]), chance.choice(["", "missing", "7"])
            return f'HEADER {field} "{text}"'
        case 6:
            return f"NOT {key(chance, depth + 1)}"
        case 7:
            return f"OR {key(chance, depth + 1)} {key(chance, depth + 1)}"
        case _:
            return f"({key(chance, depth + 1)} {key(chance, depth + 1)})"


@pytest.mark.parametrize("indexed", [False, True])
def test_searches(mailboxes: tuple[Dovecot, Path], indexed: bool) -> None:
    chance = random.Random(1)
    if indexed:
        with open_store(f"maildir:{mailboxes[1]}").open("INBOX") as mailbox:
            assert mailbox.text_place is not None
            for _ in range(100):
                with suppress(sqlite3.OperationalError):  # a session's keeper is at it
                    bring_up(mailbox.text_place, mailbox, Limits(message_max=100_000, max_size=0))
                    break
                time.sleep(0.1)
            assert mailbox.text_candidates("nothing like this", ("body",)) == set()
    commands = []
    for _ in range(QUERIES):
        options = chance.choice(["", "", "RETURN (MIN MAX COUNT ALL) ", "RETURN (COUNT) ", "RETURN (MIN) "])
        prefix = chance.choice(["", "UID "])
        commands.append(f"{prefix}SEARCH {options}CHARSET UTF-8 {key(chance)} {key(chance)}")
    compare(mailboxes, commands)


SORT_KEYS = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"]


def test_sorts(mailboxes: tuple[Dovecot, Path]) -> None:
    chance = random.Random(2)
    commands = [f"SORT ({name}) UTF-8 ALL" for name in SORT_KEYS]
    for _ in range(QUERIES // 3):
        criteria = " ".join(
            chance.choice(["", "REVERSE "]) + name for name in chance.sample(SORT_KEYS, chance.randint(1, 3))
        )
        options = chance.choice(["", "", "RETURN (MIN MAX COUNT ALL) ", "RETURN (PARTIAL 3:20 COUNT) "])
        commands.append(f"{chance.choice(['', 'UID '])}SORT {options}({criteria}) UTF-8 {key(chance)}")
    compare(mailboxes, commands)


@pytest.mark.parametrize("algorithm", ["ORDEREDSUBJECT", "REFERENCES", "REFS"])
def test_threads(mailboxes: tuple[Dovecot, Path], algorithm: str) -> None:
    chance = random.Random(3)
    commands = [f"THREAD {algorithm} UTF-8 ALL"]
    commands += [f"{chance.choice(['', 'UID '])}THREAD {algorithm} UTF-8 {key(chance)}" for _ in range(QUERIES // 10)]
    compare(mailboxes, commands)
