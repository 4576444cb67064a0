"""SEARCH: every key, charsets, and the forms of the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import Client, location, run
from tests.mime.messages import MIXED, crlf

FIRST = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nCc: carl@example.net\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Mon, 1 Jan 2024 23:30:00 -0800\r\nX-Note: one\r\n two\r\n\r\nHello Bob\r\n"
)
SECOND = (
    b"From: Dora <dora@example.org>\r\nTo: bob@example.net\r\nBcc: eve@example.net\r\nSubject: report\r\n"
    b"Date: Tue, 5 Mar 2024 08:00:00 +0100\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nviele Gr=FC=DFe aus K=F6ln\r\n"
)
THIRD = crlf(MIXED)


async def client_with_mail(tmp_path: Path) -> Client:
    client = Client(location(tmp_path))
    await client.ok('APPEND INBOX (\\Seen $Label1) "01-Jan-2024 12:00:00 +0000"', FIRST)
    await client.ok('APPEND INBOX (\\Answered) "05-Mar-2024 12:00:00 +0000"', SECOND)
    await client.ok("APPEND INBOX (\\Deleted \\Draft \\Flagged)", THIRD)
    await client.ok("SELECT INBOX")
    return client


CASES = {
    "ALL": "1 2 3",
    "ANSWERED": "2",
    "UNANSWERED": "1 3",
    "DELETED": "3",
    "UNDELETED": "1 2",
    "DRAFT": "3",
    "UNDRAFT": "1 2",
    "FLAGGED": "3",
    "UNFLAGGED": "1 2",
    "SEEN": "1",
    "UNSEEN": "2 3",
    "KEYWORD $label1": "1",
    "UNKEYWORD $Label1": "2 3",
    "RECENT": "",
    "NEW": "",
    "OLD": "1 2 3",
    "BCC eve": "2",
    "CC CARL": "1",
    "FROM ann@": "1",
    "TO example.net": "1 2",
    "SUBJECT report": "2",
    'HEADER X-Note ""': "1",
    'HEADER X-Note "one two"': "1",
    "HEADER X-Missing x": "",
    "BEFORE 5-Mar-2024": "1",
    "ON 5-Mar-2024": "2",
    "SINCE 5-Mar-2024": "2 3",
    "SENTBEFORE 2-Jan-2024": "1",
    "SENTON 1-Jan-2024": "1",
    'SENTSINCE "2-Jan-2024"': "2 3",
    "OLDER 86400": "1 2",
    "YOUNGER 86400": "3",
    f"LARGER {len(SECOND)}": "3",
    f"SMALLER {len(SECOND)}": "1",
    "BODY hello": "1",
    "BODY ann": "",
    "TEXT ann@example": "1",
    "BODY plain": "3",
    "BODY inner": "3",
    "BODY epilogue": "",
    "TEXT mixed": "3",
    "2:*": "2 3",
    "7:9": "",
    "1,3": "1 3",
    "UID 2": "2",
    "UID 5:7": "",
    "NOT SEEN": "2 3",
    "OR SEEN ANSWERED": "1 2",
    "(FROM ann) NOT DELETED": "1",
    "NOT (OR SEEN (ANSWERED TO bob))": "3",
    "1:2 UNSEEN BODY K": "2",
    'SUBJECT ""': "1 2 3",
}


@pytest.mark.parametrize("keys", CASES)
def test_keys(tmp_path: Path, keys: str) -> None:
    async def dialogue() -> None:
        client = await client_with_mail(tmp_path)
        (line,) = await client.ok("SEARCH " + keys)
        assert line.decode() == f"* SEARCH {CASES[keys]}".rstrip()
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "command",
    [
        "SEARCH CHARSET UTF-8 SUBJECT GRÜSSE".encode(),
        "SEARCH SUBJECT grüße".encode(),
        b"SEARCH CHARSET ISO-8859-1 SUBJECT {5+}\r\n" + "grüße".encode("latin-1"),
        b"SEARCH CHARSET utf-16-be SUBJECT {10+}\r\n" + "Grüße".encode("utf-16-be"),
    ],
)
def test_charset_of_the_command(tmp_path: Path, command: bytes) -> None:
    async def dialogue() -> None:
        client = await client_with_mail(tmp_path)
        assert await client.ok(command) == [b"* SEARCH 1"]
        await client.close()

    run(dialogue())


def test_body_is_decoded_before_it_is_searched(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await client_with_mail(tmp_path)
        assert await client.ok("SEARCH CHARSET UTF-8 BODY köln".encode()) == [b"* SEARCH 2"]
        assert await client.ok("SEARCH BODY =FC") == [b"* SEARCH"]
        await client.close()

    run(dialogue())


def test_unknown_charset_is_refused_with_those_known(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await client_with_mail(tmp_path)
        lines = await client.command("SEARCH CHARSET X-NONSENSE SUBJECT x")
        assert lines == [b"NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset"]
        await client.close()

    run(dialogue())


def test_uid_search_gives_uids(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await client_with_mail(tmp_path)
        await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await client.ok("UID EXPUNGE 1")
        assert await client.ok("UID SEARCH ALL") == [b"* SEARCH 2 3"]
        assert await client.ok("SEARCH ALL") == [b"* SEARCH 1 2"]
        await client.close()

    run(dialogue())


def test_extended_search(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await client_with_mail(tmp_path)
        await client.send(
            b"x UID SEARCH RETURN (MIN MAX COUNT ALL) ALL\r\n"
            b"y SEARCH RETURN () SEEN\r\n"
            b"z SEARCH RETURN (MIN COUNT) RECENT\r\n"
        )
        lines = await client.until(b"z")
        assert lines[0] == b'* ESEARCH (TAG "x") UID MIN 1 MAX 3 COUNT 3 ALL 1:3'
        assert lines[2] == b'* ESEARCH (TAG "y") ALL 1'
        assert lines[4] == b'* ESEARCH (TAG "z") COUNT 0'
        await client.close()

    run(dialogue())


def test_text_across_the_pieces_of_a_large_body_is_found(tmp_path: Path) -> None:
    filler = b"x" * 70 + b"\r\n"

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        body = filler * 1820 + b"y" * 30 + b"NEEDLE" + filler * 3000
        await client.ok("APPEND INBOX", b"Subject: big\r\n\r\n" + body)
        await client.ok("SELECT INBOX")
        for offset in range(6):
            needle = "y" * 10 + "NEEDLE"[: offset + 1]
            assert await client.ok(f"SEARCH BODY {needle}") == [b"* SEARCH 1"]
        await client.close()

    run(dialogue())
