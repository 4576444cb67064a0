"""BODYSTRUCTURE and numbered sections of a nested message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import Client, location, run
from tests.mime.messages import MIXED, crlf

STRUCTURE = (
    b'((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 11 1 NIL NIL NIL NIL)'
    b'("text" "html" ("charset" "utf-8") NIL NIL "quoted-printable" 11 0 NIL NIL NIL NIL)'
    b' "alternative" ("boundary" "out-in") NIL NIL NIL)'
    b'("message" "rfc822" NIL NIL NIL "7bit" %d (NIL "inner" ((NIL NIL "c" "z.org")) ((NIL NIL "c" "z.org")) '
    b'((NIL NIL "c" "z.org")) NIL NIL NIL NIL NIL) '
    b'(("image" "png" ("name" "a b.png") NIL NIL "base64" 8 NIL ("attachment" ("filename" "a b.png")) NIL NIL)'
    b' "mixed" ("boundary" "deep") NIL NIL NIL) %d NIL NIL NIL NIL)'
    b' "mixed" ("boundary" "out") NIL NIL NIL)'
)


async def client_with(tmp_path: Path, content: bytes) -> Client:
    client = Client(location(tmp_path))
    await client.ok("APPEND INBOX", content)
    await client.ok("SELECT INBOX")
    return client


def inner_message() -> bytes:
    text = crlf(MIXED)
    start = text.index(b"From: c@z.org")
    return text[start : text.index(b"\r\n--out--")]


def test_body_structure(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await client_with(tmp_path, crlf(MIXED))
        (line,) = await client.ok("FETCH 1 BODYSTRUCTURE")
        assert (
            line
            == b"* 1 FETCH (BODYSTRUCTURE " + STRUCTURE % (len(inner_message()), inner_message().count(b"\r\n")) + b")"
        )
        await client.close()

    run(dialogue())


SECTIONS = {
    "1.1": b"plain\r\ntext",
    "1.2": b"<p>html</p>",
    "1.2.MIME": b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    "2": inner_message(),
    "2.MIME": b"Content-Type: message/rfc822\r\n\r\n",
    "2.HEADER": inner_message().partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
    "2.TEXT": inner_message().partition(b"\r\n\r\n")[2],
    "2.HEADER.FIELDS (SUBJECT)": b"Subject: inner\r\n\r\n",
    "2.HEADER.FIELDS.NOT (SUBJECT CONTENT-TYPE)": b"From: c@z.org\r\n\r\n",
    "2.1": b"aGVsbG8=",
}


@pytest.mark.parametrize("section", SECTIONS)
def test_section(tmp_path: Path, section: str) -> None:
    async def dialogue() -> None:
        client = await client_with(tmp_path, crlf(MIXED))
        (line,) = await client.ok(f"FETCH 1 BODY.PEEK[{section}]")
        octets = SECTIONS[section]
        assert line == b"* 1 FETCH (BODY[%b] {%d}\r\n%b)" % (section.encode(), len(octets), octets)
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("section", ["3", "1.3", "2.1.1", "1.1.TEXT", "1.HEADER", "2.2"])
def test_section_that_is_not_there_is_nil(tmp_path: Path, section: str) -> None:
    async def dialogue() -> None:
        client = await client_with(tmp_path, crlf(MIXED))
        assert await client.ok(f"FETCH 1 BODY.PEEK[{section}]") == [f"* 1 FETCH (BODY[{section}] NIL)".encode()]
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno parts\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n",
        b"no header at all",
        b"\r\n",
        b'Content-Type: text/plain; name="a\\"b"; charset="\xff"\r\n\r\nx',
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n--x",
    ],
)
def test_structure_of_broken_mail_keeps_to_the_grammar(tmp_path: Path, content: bytes) -> None:
    async def dialogue() -> None:
        client = await client_with(tmp_path, content)
        (line,) = await client.ok("FETCH 1 (BODYSTRUCTURE BODY ENVELOPE)")
        outside = bytearray()
        rest = line
        while b"{" in rest and b"}\r\n" in rest:  # literals may hold anything
            before, _, after = rest.partition(b"}\r\n")
            opening, _, size = before.rpartition(b"{")
            outside += opening
            rest = after[int(size) :]
        outside += rest
        unquoted = bytes(outside).replace(b'\\"', b"")
        plain = b"Q".join(unquoted.split(b'"')[::2])
        assert plain.count(b"(") == plain.count(b")")
        assert b"()" not in plain and b"( " not in plain
        await client.close()

    run(dialogue())
