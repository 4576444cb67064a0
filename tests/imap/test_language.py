"""LANGUAGE (RFC 5255)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import Client, location, run
from tests.imap.server import Server


def test_languages_are_listed_and_chosen(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert await client.ok("LANGUAGE") == [b"* LANGUAGE (en i-default)"]
        assert (await client.command("LANGUAGE MUL"))[-1].startswith(b"NO ")
        for asked, given in (("FR-CA EN-CA", b"en"), ('"default"', b"en"), ("i-default", b"i-default"), ('"*"', b"en")):
            assert await client.ok(f"LANGUAGE {asked}") == [b"* LANGUAGE (%b)" % given]
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("command", ["LANGUAGE ", "LANGUAGE" + " x" * 101])
def test_what_is_no_list_of_ranges_is_bad(tmp_path: Path, command: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        last = (await client.command(command))[-1]
        assert last.startswith(b"BAD" if "x" in command else b"OK")
        await client.close()

    run(dialogue())


def test_the_command_may_come_before_login(tmp_path: Path) -> None:
    """Section 3.5: it is valid in all states."""
    with Server(tmp_path) as server:
        lines = server.say(b"a LANGUAGE\r\nb LANGUAGE de\r\nc LANGUAGE en\r\nd LOGOUT\r\n")
    assert [line for line in lines if line.startswith((b"* LANGUAGE", b"b "))] == [
        b"* LANGUAGE (en i-default)",
        b"b NO Unsupported language; there is English.",
        b"* LANGUAGE (en)",
    ]
