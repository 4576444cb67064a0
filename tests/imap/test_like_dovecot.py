"""CONDSTORE and QRESYNC beside Dovecot: the same commands of two clients on the same mailbox get the same answers.

Compared without what may differ: texts, the values of modification sequences, the order of lines and of items.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imap.dialogue import MESSAGE, Client, run
from tests.peers.dovecot import Dovecot

SCRIPT = r"""
0 APPEND INBOX
0 APPEND INBOX
0 APPEND INBOX
0 APPEND INBOX
0 APPEND INBOX
0 APPEND INBOX
0 ENABLE QRESYNC X-NONSENSE
0 SELECT INBOX
1 SELECT INBOX
0 STORE 1 +FLAGS (\Draft)
0 STORE 1 +FLAGS.SILENT (\Flagged)
0 UID STORE 1 +FLAGS.SILENT (\Flagged)
0 UID STORE 1 +FLAGS.SILENT (\Answered)
1 NOOP
0 SELECT INBOX
1 STORE 2 +FLAGS (\Answered)
0 UID STORE 1:3 (UNCHANGEDSINCE @) FLAGS.SILENT (\Draft)
0 NOOP
0 STORE 4 (UNCHANGEDSINCE 0) +FLAGS (foo)
1 NOOP
1 STORE 3 +FLAGS.SILENT (\Deleted)
1 EXPUNGE
0 NOOP
0 FETCH 1 (FLAGS)
0 FETCH 1 (FLAGS UID MODSEQ)
0 SEARCH MODSEQ 1
0 SEARCH RETURN (MIN) MODSEQ 1
0 SEARCH RETURN (ALL COUNT) UID 1:2 MODSEQ 1
0 UID SEARCH MODSEQ 99999999999999999
0 SEARCH MODSEQ "/flags/\\draft" all 1
0 SEARCH MODSEQ "/flags/\\draft" nonsense 1
0 STORE 5 +FLAGS.SILENT (\Deleted)
0 EXPUNGE
0 EXPUNGE
0 CREATE Other
0 MOVE 1 Other
0 UID MOVE 4 Other
0 UID MOVE 400 Other
0 SELECT INBOX (QRESYNC (! @))
0 SELECT INBOX (QRESYNC (! @ 1:3))
0 SELECT INBOX (QRESYNC (! @ 1:6 (1 1)))
0 EXAMINE INBOX (QRESYNC (! 1))
0 SELECT INBOX (QRESYNC (77 1))
0 SELECT INBOX (QRESYNC (! 0))
0 SELECT INBOX
0 UID FETCH 1:* (FLAGS) (CHANGEDSINCE @ VANISHED)
0 UID FETCH 1:* (UID) (CHANGEDSINCE @)
0 UID FETCH 3:4 (UID) (CHANGEDSINCE @ VANISHED)
0 FETCH 1:* (FLAGS) (CHANGEDSINCE @ VANISHED)
0 UID FETCH 1:* (FLAGS) (VANISHED)
1 NOOP
1 STORE 1 +FLAGS (\Deleted)
1 EXPUNGE
0 NOOP
0 STORE 1 +FLAGS.SILENT (\Deleted)
0 CLOSE
0 SELECT INBOX (CONDSTORE)
0 UNSELECT
"""
"""Which client, and what it says: `@` is the MODSEQ and `!` the UIDVALIDITY of its first SELECT with a MODSEQ."""


class Peer:
    """A client of Dovecot."""

    def __init__(self, dovecot: Dovecot) -> None:
        self._socket = socket.create_connection((dovecot.address, dovecot.port("imap")), timeout=30)
        self._file = self._socket.makefile("rb")
        self._tags = 0
        self._file.readline()
        self.command("LOGIN bob secret")

    def command(self, text: str, literal: bytes | None = None) -> list[bytes]:
        self._tags += 1
        tag = b"t%d" % self._tags
        rest = b"" if literal is None else b" {%d+}\r\n%b" % (len(literal), literal)
        self._socket.sendall(tag + b" " + text.encode() + rest + b"\r\n")
        lines = []
        while not (line := self._file.readline().rstrip(b"\r\n")).startswith(tag):
            lines.append(line)
        return [*lines, line.removeprefix(tag + b" ")]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot({"bob": "secret"}) as running:
        yield running


def normal(line: bytes) -> str:
    """What must be the same of a line."""
    text = re.sub(r"MODSEQ \(?\d+\)?", "MODSEQ N", line.decode())
    text = re.sub(r'TAG "\w+"', "TAG", text)
    if found := re.match(r"(\* )?(OK|NO|BAD)(?: \[(\w+)([^\]]*)\])?", text):
        code = (found[3] or "") + (found[4] if found[3] in ("MODIFIED", "UNSEEN", "UIDNEXT") else "")
        if code == "MAILBOXID" and not found[1]:
            code = ""  # to CREATE; Dovecot has no OBJECTID
        return f"{found[1] or ''}{found[2]} {code}"
    if found := re.fullmatch(r"(\* \d+ FETCH )\((.*)\)", text):
        items = re.findall(r"\w+ \([^)]*\)|\w+ \w+", found[2])
        return found[1] + " ".join(sorted(" ".join(sorted(re.findall(r"[\\\w]+", item))) for item in items))
    if "FLAGS" in text or "ENABLED" in text:
        return " ".join(sorted(re.findall(r"[\\*\w=-]+", text)))
    return text


def told(lines: list[bytes]) -> list[str]:
    """An answer in its normal form, without HIGHESTMODSEQ, which may be told at any time, and what Dovecot has not."""
    unasked = ("* OK HIGHESTMODSEQ", "* OK MAILBOXID", "* OK URLMECH")
    return sorted(text for text in map(normal, lines) if text not in unasked)


def test_the_same_commands_get_the_same_answers(dovecot: Dovecot, tmp_path: Path) -> None:
    async def dialogue() -> None:
        theirs = [Peer(dovecot) for _ in range(2)]
        ours = [Client(f"sqlite:{tmp_path}/mail.sqlite") for _ in range(2)]
        known: dict[object, tuple[str, str]] = {}

        def fill(command: str, who: object) -> str:
            validity, modseq = known.get(who, ("", ""))
            return command.replace("!", validity).replace("@", modseq)

        for row in SCRIPT.split("\n")[1:-1]:
            number, _, command = row.partition(" ")
            literal = MESSAGE if command.startswith("APPEND") else None
            their, our = theirs[int(number)], ours[int(number)]
            answers = their.command(fill(command, their), literal), await our.command(fill(command, our), literal)
            for who, lines in zip((their, our), answers, strict=True):
                found = re.search(rb"UIDVALIDITY (\d+).*HIGHESTMODSEQ (\d+)", b" ".join(lines))
                if found and who not in known:
                    known[who] = found[1].decode(), found[2].decode()
            assert told(answers[0]) == told(answers[1]), row
        for peer, client in zip(theirs, ours, strict=True):
            peer.close()
            await client.close()

    run(dialogue())
