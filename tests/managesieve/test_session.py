"""What a logged-in client can do, over real sockets on the scripts that delivery runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.sieve_box.running import Owner, Scripts
from tests.managesieve.client import Client
from tests.managesieve.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"sieve_max_script_size": "2000", "sieve_quota_max_scripts": "3"}
    with Server(tmp_path_factory.mktemp("sessions"), **limits) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.logged_in() as made:
        yield made
        made.ask(b'SETACTIVE ""')
        for line in made.ask(b"LISTSCRIPTS").lines:
            assert made.ask(b"DELETESCRIPT " + line.removesuffix(b"\r\n")).condition == "OK"


def said(client: Client, command: bytes) -> tuple[str, str]:
    answer = client.ask(command)
    return answer.condition, answer.code


def test_a_script_is_put_listed_got_and_run(server: Server, client: Client) -> None:
    assert client.ask(b"LISTSCRIPTS").lines == ()
    script = b'require "fileinto";\r\nfileinto "INBOX.x";\r\n'
    assert client.put("main", script).condition == "OK"
    assert client.put("other", b"keep;\r\n").condition == "OK"
    assert said(client, b'SETACTIVE "main"') == ("OK", "")
    assert client.ask(b"LISTSCRIPTS").lines == (b'"main" ACTIVE\r\n', b'"other"\r\n')
    assert client.ask(b'GETSCRIPT "main"').lines == (b"{%d}\r\n%b\r\n" % (len(script), script),)
    found = Scripts(Config.for_tests()).of(Owner(str(server.home), "ann", "example.com"))
    assert [(getattr(each, "name", each), own) for each, own in found] == [(f"{server.home}/.dovecot.sieve", True)]


def test_a_script_may_be_a_quoted_string(client: Client) -> None:
    assert said(client, b'PUTSCRIPT "a" "keep;"') == ("OK", "")
    assert client.ask(b'GETSCRIPT "a"').lines == (b"{5}\r\nkeep;\r\n",)


def test_what_is_wrong_with_a_script_is_said_with_the_line(client: Client) -> None:
    answer = client.put("a", b"keep;\r\nnonsense;\r\n")
    assert (answer.condition, answer.code) == ("NO", "")
    assert b"a:2:1: " in answer.text
    assert client.ask(b"CHECKSCRIPT {9+}\r\nnonsense;").condition == "NO"
    assert client.ask(b"CHECKSCRIPT {5+}\r\nkeep;").condition == "OK"
    assert client.ask(b"LISTSCRIPTS").lines == ()


def test_warnings(client: Client) -> None:
    answer = client.put("a", b'require "include"; include "later";')
    assert (answer.condition, answer.code) == ("OK", "WARNINGS")
    assert b'\\"later\\"' in answer.text


def test_codes(client: Client) -> None:
    for command in (b"GETSCRIPT", b"SETACTIVE", b"DELETESCRIPT"):
        assert said(client, command + b' "none"') == ("NO", "NONEXISTENT")
    assert said(client, b'RENAMESCRIPT "none" "x"') == ("NO", "NONEXISTENT")
    client.put("a", b"keep;")
    client.put("b", b"keep;")
    assert said(client, b'RENAMESCRIPT "a" "b"') == ("NO", "ALREADYEXISTS")
    assert said(client, b'RENAMESCRIPT "a" "c"') == ("OK", "")
    client.ask(b'SETACTIVE "c"')
    assert said(client, b'DELETESCRIPT "c"') == ("NO", "ACTIVE")


def test_quotas(client: Client) -> None:
    assert said(client, b'HAVESPACE "a" 2000') == ("OK", "")
    assert said(client, b'HAVESPACE "a" 2001') == ("NO", "QUOTA/MAXSIZE")
    assert said(client, b'PUTSCRIPT "a" {2001+}\r\n' + b"#" * 2001) == ("NO", "QUOTA/MAXSIZE")
    assert said(client, b"CHECKSCRIPT {2001+}\r\n" + b"#" * 2001) == ("NO", "QUOTA/MAXSIZE")
    for name in "abc":
        assert client.put(name, b"keep;").condition == "OK"
    assert said(client, b'HAVESPACE "d" 1') == ("NO", "QUOTA/MAXSCRIPTS")
    assert said(client, b'HAVESPACE "c" 1') == ("OK", "")
    assert said(client, b'PUTSCRIPT "d" "keep;"') == ("NO", "QUOTA/MAXSCRIPTS")


def test_a_literal_of_gigabytes_is_not_kept(client: Client) -> None:
    client.say(b'PUTSCRIPT "a" {30000000+}\r\n')
    for _ in range(300):
        client.say(b"#" * 100_000)
    answer = client.ask(b"")
    assert (answer.condition, answer.code) == ("NO", "QUOTA/MAXSIZE")
    assert client.ask(b"NOOP").condition == "OK"


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"X", b'"NOOP"', b"NOOP 1", b'NOOP "a" "b"', b"LISTSCRIPTS x", b"GETSCRIPT", b"GETSCRIPT a"),
        *(b'GETSCRIPT "a', b'GETSCRIPT "\xff"', b'HAVESPACE "a" -1', b'HAVESPACE "a" 4294967296', b'HAVESPACE "a" x'),
        *(b"PUTSCRIPT {1}", b'PUTSCRIPT "a"', b'PUTSCRIPT "a" keep', b"AUTHENTICATE", b"\0" * 100, b"x" * 20_000),
    ],
)
def test_lines_that_are_no_commands(client: Client, line: bytes) -> None:
    assert said(client, line) == ("NO", "")
    assert client.ask(b'NOOP "sync"').argument == b"sync"


def test_names_that_no_script_may_have(client: Client) -> None:
    for name in (b'""', b'"%b"' % (b"x" * 129), b'"a\x7f"', b"{2+}\r\na\n"):
        assert client.ask(b"PUTSCRIPT " + name + b' "keep;"').condition == "NO"
        assert client.ask(b"HAVESPACE " + name + b" 1").condition == "NO"


def test_pipelined_commands_are_all_answered(server: Server, client: Client) -> None:
    with server.logged_in() as other:
        _pipeline(other)


def _pipeline(client: Client) -> None:
    client.say(b'NOOP "1"\r\nPUTSCRIPT "a" {5+}\r\nkeep;\r\nLISTSCRIPTS\r\nNOOP "2"\r\nLOGOUT\r\nNOOP\r\n')
    answers = [client.answer() for _ in range(5)]
    assert [answer.condition for answer in answers] == ["OK"] * 5
    assert (answers[0].argument, answers[2].lines, answers[3].argument) == (b"1", (b'"a"\r\n',), b"2")
    assert client.at_end()


def test_an_idle_client_is_dismissed(tmp_path: Path) -> None:
    with Server(tmp_path, managesieve_session_timeout="1s") as server, server.logged_in() as client:
        answer = client.answer()
        assert answer.condition == "BYE"
        assert b"inactivity" in answer.text


def test_a_place_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    with Server(tmp_path, sieve_dir="") as server, server.client() as client:
        answer = client.ask(b'AUTHENTICATE "PLAIN" "AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ="')
        assert (answer.condition, answer.code) == ("BYE", "TRYLATER")
