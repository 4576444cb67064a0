"""The same dialogues with us and with Dovecot's Pigeonhole: the same conditions, codes and lists.

And the files that the two leave are the same, so that either can take over from the other.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.managesieve.client import Client
from tests.managesieve.server import Server
from tests.peers.dovecot import Dovecot

USER, PASSWORD = "ann", "secret"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a private Dovecot needs root")


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot({USER: PASSWORD}, sieve=True) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("ours")) as running:
        yield running


def _theirs(dovecot: Dovecot) -> Client:
    client = Client(dovecot.address, dovecot.port("sieve"))
    message = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
    assert client.ask(b'AUTHENTICATE "PLAIN" "%b"' % message).condition == "OK"
    return client


def _literal(script: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(script), script)


KEEP = _literal(b"keep;\r\n")
DIALOGUE: tuple[bytes, ...] = (
    b"LISTSCRIPTS",
    b'PUTSCRIPT "a" ' + KEEP,
    b'putscript "b" "keep;"',
    b"PUTSCRIPT {1+}\r\nc " + _literal('# ümläut\r\nrequire "fileinto"; fileinto "x";\r\n'.encode()),
    b"LISTSCRIPTS",
    b'GETSCRIPT "c"',
    b'GETSCRIPT "none"',
    b'SETACTIVE "none"',
    b'SETACTIVE "a"',
    b'SETACTIVE "b"',
    b"LISTSCRIPTS",
    b'DELETESCRIPT "b"',
    b'DELETESCRIPT "a"',
    b'DELETESCRIPT "a"',
    b'RENAMESCRIPT "b" "c"',
    b'RENAMESCRIPT "b" "d"',
    b'RENAMESCRIPT "none" "e"',
    b"LISTSCRIPTS",
    b'PUTSCRIPT "wrong" ' + _literal(b"nonsense;"),
    b'PUTSCRIPT "d" ' + _literal(b"nonsense;"),
    b'GETSCRIPT "d"',
    b"CHECKSCRIPT " + KEEP,
    b"CHECKSCRIPT " + _literal(b'require "nothing";'),
    b"CHECKSCRIPT " + _literal(b'require "fileinto"; fileinto "a" "b";'),
    b'HAVESPACE "x" 100',
    b'HAVESPACE "x" 2000000000',
    b'HAVESPACE "x"',
    b'HAVESPACE "x" y',
    b"NOOP",
    b'NOOP "tag"',
    b"NOOP {3+}\r\ntag",
    b"nonsense",
    b"LISTSCRIPTS x",
    b"GETSCRIPT",
    b"GETSCRIPT d",
    b'AUTHENTICATE "PLAIN" "x"',
    b"STARTTLS",
    b'SETACTIVE ""',
    b"LISTSCRIPTS",
    b'DELETESCRIPT "d"',
    b'DELETESCRIPT "c"',
    b"LISTSCRIPTS",
    b"LOGOUT",
)


def _summary(client: Client) -> list[tuple[bytes, str, str, bytes, tuple[bytes, ...]]]:
    found = []
    for command in DIALOGUE:
        answer = client.ask(command)
        found.append((command, answer.condition, answer.code, answer.argument, tuple(sorted(answer.lines))))
    return found


def test_the_dialogue_is_the_same(dovecot: Dovecot, server: Server) -> None:
    with server.logged_in() as ours, _theirs(dovecot) as theirs:
        for mine, other in zip(_summary(ours), _summary(theirs), strict=True):
            assert mine == other


def test_the_same_before_login(dovecot: Dovecot, server: Server) -> None:
    for command in (b"NOOP", b'NOOP "x"', b"LISTSCRIPTS", b'AUTHENTICATE "NONE"', b"LOGOUT"):
        with server.client() as ours, Client(dovecot.address, dovecot.port("sieve")) as theirs:
            mine, other = ours.ask(command), theirs.ask(command)
            assert (mine.condition, mine.argument) == (other.condition, other.argument), command


def test_the_same_is_announced(dovecot: Dovecot, server: Server) -> None:
    with server.logged_in() as ours, _theirs(dovecot) as theirs:
        mine, other = ours.capabilities(), theirs.capabilities()
    left_out = set(other) - set(mine)
    assert left_out <= {"UNAUTHENTICATE"}, "the rest is ours too"
    missing = set(other["SIEVE"].split()) - set(mine["SIEVE"].split())
    assert missing <= {"vnd.dovecot.environment", "vnd.dovecot.pipe"}, missing


def test_each_finds_the_scripts_of_the_other(dovecot: Dovecot, server: Server) -> None:
    home = Path(dovecot.directory, "mail", USER)
    with _theirs(dovecot) as theirs:
        theirs.put("theirs", b"keep;")
        theirs.ask(b'SETACTIVE "theirs"')
        theirs.ask(b"LOGOUT")
    mine = server.home
    mine.mkdir(parents=True, exist_ok=True)
    (mine / "sieve").mkdir(exist_ok=True)
    (mine / "sieve/theirs.sieve").write_bytes((home / "sieve/theirs.sieve").read_bytes())
    link = os.readlink(home / ".dovecot.sieve")
    (mine / ".dovecot.sieve").unlink(missing_ok=True)
    (mine / ".dovecot.sieve").symlink_to(link)
    with server.logged_in() as ours:
        assert ours.ask(b"LISTSCRIPTS").lines == (b'"theirs" ACTIVE\r\n',)
        ours.ask(b'SETACTIVE ""')
        ours.put("theirs", b"discard;")
        ours.ask(b'SETACTIVE "theirs"')
    assert os.readlink(mine / ".dovecot.sieve") == link
