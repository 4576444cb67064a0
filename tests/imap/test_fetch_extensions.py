"""BINARY (RFC 3516), PREVIEW (RFC 8970), SAVEDATE (RFC 8514) and OBJECTID (RFC 8474)."""

from __future__ import annotations

import base64
import quopri
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.fetch.binary import cut
from pillarbox.imapd.fetch.body_section import IN_MEMORY
from pillarbox.imapd.fetch.preview import LENGTH, condense
from tests.imap.dialogue import MESSAGE, Client, location, run

DATA = bytes(range(256)) * 20
PARTS = (
    b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    + quopri.encodestring("caf\u00e9 au lait".encode())
    + b"\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(DATA).replace(b"\n", b"\r\n")
    + b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-unknown\r\n\r\n?\r\n--b--\r\n"
)


async def opened(tmp_path: Path, *messages: bytes) -> Client:
    client = Client(location(tmp_path))
    for message in messages:
        await client.ok("APPEND INBOX", message)
    await client.ok("SELECT INBOX")
    return client


# --- BINARY
def test_parts_come_decoded(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, PARTS)
        (line,) = await client.ok("FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1] BINARY.SIZE[2] BINARY.PEEK[2]<250.20>)")
        text = "caf\u00e9 au lait".encode()
        expected = b"* 1 FETCH (BINARY.SIZE[1] %d BINARY[1] {%d}\r\n%b" % (len(text), len(text), text)
        part = DATA[250:270]
        assert line == expected + b" BINARY.SIZE[2] %d BINARY[2]<250> ~{20}\r\n%b)" % (len(DATA), part)
        (line,) = await client.ok("FETCH 1 BINARY.PEEK[2]")
        assert line == b"* 1 FETCH (BINARY[2] ~{%d}\r\n%b)" % (len(DATA), DATA)
        (line,) = await client.ok("FETCH 1 (BINARY.PEEK[9] BINARY.SIZE[9])")
        assert line.endswith(b"BINARY[9] NIL BINARY.SIZE[9] 0)")
        await client.close()

    run(dialogue())


def test_a_whole_message_comes_with_its_parts_decoded(tmp_path: Path) -> None:
    plain = PARTS.replace(b"x-unknown", b"8bit")
    head, _, rest = plain.partition(base64.encodebytes(DATA).replace(b"\n", b"\r\n")[:-2])
    whole = head.replace(b"caf=C3=A9", "caf\u00e9".encode()).replace(b"quoted-printable", b"binary") + DATA + rest
    whole = whole.replace(b"base64", b"binary")

    async def dialogue() -> None:
        client = await opened(tmp_path, plain, MESSAGE)
        lines = await client.ok("FETCH 1:2 (BINARY.PEEK[] BINARY.SIZE[] BINARY.PEEK[]<3.9>)")
        expected = b"(BINARY[] ~{%d}\r\n%b BINARY.SIZE[] %d BINARY[]<3> {9}\r\n%b)"
        assert lines[0].endswith(expected % (len(whole), whole, len(whole), whole[3:12]))
        expected = expected.replace(b"~", b"")
        assert lines[1].endswith(expected % (len(MESSAGE), MESSAGE, len(MESSAGE), MESSAGE[3:12]))
        await client.close()

    run(dialogue())


def test_an_unknown_encoding_is_said(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, PARTS)
        for item in ("BINARY[3]", "BINARY.SIZE[3]", "BINARY[]", "BINARY.SIZE[]"):
            assert (await client.command(f"FETCH 1 {item}"))[-1].startswith(b"NO [UNKNOWN-CTE] ")
        for item in ("BINARY[1.MIME]", "BINARY[TEXT]", "BINARY.SIZE[1]<0.5>", "BINARY"):
            assert (await client.command(f"FETCH 1 {item}"))[-1].startswith(b"BAD ")
        await client.close()

    run(dialogue())


def test_binary_sets_seen_and_peek_does_not(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, PARTS)
        assert b"Seen" not in (await client.ok("FETCH 1 BINARY.PEEK[1]"))[0]
        assert b"FLAGS (\\Seen" in (await client.ok("FETCH 1 BINARY[1]"))[0]
        await client.close()

    run(dialogue())


def test_large_parts_pass_through_in_pieces(tmp_path: Path) -> None:
    data = (bytes(range(1, 256)) * 2000)[: 3 * IN_MEMORY]
    message = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(
        data
    ).replace(b"\n", b"\r\n")

    async def dialogue() -> None:
        client = await opened(tmp_path, message, message.replace(b"AQID", b"AAAA", 1))
        lines = await client.ok("FETCH 1:2 (BINARY.SIZE[1] BINARY.PEEK[1])")
        for line, head, start in zip(lines, (b"", b"~"), (data[:3], bytes(3)), strict=True):
            assert line.endswith(b"BINARY[1] %b{%d}\r\n%b)" % (head, len(data), start + data[3:]))
        (line,) = await client.ok(f"FETCH 1 BINARY.PEEK[1]<{2 * IN_MEMORY}.7>")
        assert line.endswith(b"{7}\r\n%b)" % data[2 * IN_MEMORY : 2 * IN_MEMORY + 7])
        await client.close()

    run(dialogue())


@given(st.lists(st.binary(max_size=5)), st.integers(0, 20), st.integers(1, 20))
def test_a_cut_of_pieces_is_a_cut_of_the_whole(pieces: list[bytes], start: int, count: int) -> None:
    assert b"".join(cut(pieces, start, count)) == b"".join(pieces)[start : start + count]


# --- PREVIEW
HTML = (
    b"Content-Type: text/html; charset=utf-8\r\n\r\n<html><head><title>no</title><style>p {}</style></head>"
    b"<body><!-- not this --><p>Hello &amp; <b>good</b>\r\n   day</p><script>x()</script>"
)


def test_the_beginning_of_the_text(tmp_path: Path) -> None:
    alternative = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>rich\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\n plain \r\n\r\n text\r\n--b--\r\n"
    )
    picture = b"Content-Type: image/png\r\n\r\nxxxx\r\n"

    async def dialogue() -> None:
        client = await opened(tmp_path, HTML, alternative, picture, PARTS, MESSAGE)
        lines = await client.ok("FETCH 1:5 (PREVIEW (LAZY))")
        assert lines == [b"* %d FETCH (PREVIEW NIL)" % number for number in range(1, 6)]
        expected = [b'"Hello & good day"', b'"plain text"', b'""', None, b'"Hello Bob, this is it."']
        for command in ("FETCH 1:5 (PREVIEW)", "FETCH 1:5 PREVIEW", "FETCH 1:5 (UID PREVIEW (LAZY))"):
            lines = await client.ok(command)
            for line, wanted in zip(lines, expected, strict=True):
                assert wanted is None or line.endswith(b"PREVIEW " + wanted + b")")
        assert "caf\u00e9 au lait".encode() in lines[3]
        assert await client.ok("FETCH 1 PREVIEW (LAZY)") == [b'* 1 FETCH (PREVIEW "Hello & good day")']
        for bad in ("PREVIEW (EAGER)", "(PREVIEW (LAZY LAZY))", "PREVIEW (LAZY EAGER)"):
            assert (await client.command(f"FETCH 1 {bad}"))[-1].startswith(b"BAD ")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("markup", [True, False])
@given(text=st.text(alphabet="ab <>&;!-/style\n\u200b\u00e9", max_size=400))
def test_a_preview_is_short_and_of_one_line(markup: bool, text: str) -> None:
    found = condense(text, markup=markup)
    assert len(found) <= LENGTH and "\n" not in found and found == found.strip()


# --- SAVEDATE and OBJECTID
def letter(subject: str, *fields: str) -> bytes:
    return "\r\n".join((f"Subject: {subject}", *fields, "", subject, "")).encode()


def test_related_messages_have_one_thread_id_in_all_mailboxes(tmp_path: Path) -> None:
    """RFC 8474 sections 5.2 and 6: its example, an answer to the answer, and messages that name nothing."""

    async def ids(client: Client) -> list[tuple[bytes, bytes]]:
        lines = await client.ok("FETCH 1:* (EMAILID THREADID)")
        found = [re.search(rb"EMAILID \(([\w-]+)\) THREADID \(([\w-]+)\)", line) for line in lines]
        return [(one[1], one[2]) for one in found if one]

    async def dialogue() -> None:
        client = await opened(
            tmp_path,
            letter("Message A", "Message-ID: <fake.1521475657.54797@example.com>"),
            letter(
                "Re: Message A",
                "Message-ID: <fake.1521475657.21213@example.org>",
                "References: <fake.1521475657.54797@example.com>",
            ),
            letter("Message C", "Message-ID: <fake.1521475657.60280@example.com>"),
            letter(
                "Re: Re: Message A",
                "Message-ID: <4@example.org>",
                "References: <fake.1521475657.54797@example.com>",
                " <fake.1521475657.21213@example.org>",
                "In-Reply-To: <fake.1521475657.21213@example.org>",
            ),
            letter("Re: Message C", "In-Reply-To: Yours <fake.1521475657.60280@example.com>"),
            letter("nothing"),
            letter("nothing"),
            letter("nothing else"),
        )
        first = await ids(client)
        threads = [thread for _, thread in first]
        assert threads[0] == threads[1] == threads[3] and threads[2] == threads[4] and threads[5] == threads[6]
        assert len(set(threads)) == 4
        assert not {email for email, _ in first} & set(threads)
        assert await client.ok(b"SEARCH THREADID " + threads[0]) == [b"* SEARCH 1 2 4"]
        assert await client.ok(b"SEARCH THREADID " + threads[5]) == [b"* SEARCH 6 7"]
        assert await client.ok(b"SEARCH THREADID " + threads[0].lower()) == [b"* SEARCH"]
        assert await ids(client) == first  # now out of the cache
        await client.ok("CREATE foo")
        await client.ok("MOVE 2,8 foo")
        await client.ok("SELECT foo")
        assert await ids(client) == [first[1], first[7]]
        await client.close()

    run(dialogue())


def test_the_save_date_is_a_date_or_nil(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        (line,) = await client.ok("FETCH 1 SAVEDATE")
        assert re.fullmatch(rb'\* 1 FETCH \(SAVEDATE (NIL|"[ \d]\d-\w{3}-\d{4} [\d:]{8} [+-]\d{4}")\)', line)
        await client.close()

    run(dialogue())


def test_equal_content_has_one_email_id_and_mailboxes_keep_theirs(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE, MESSAGE, HTML)
        found = [re.search(rb"EMAILID \(([\w-]+)\)", line) for line in await client.ok("FETCH 1:3 (EMAILID THREADID)")]
        ids = [one[1] for one in found if one]
        assert len(ids) == 3 and ids[0] == ids[1] != ids[2]
        created = (await client.command("CREATE Box"))[-1]
        box = re.match(rb"OK \[MAILBOXID \(([\w-]+)\)\]", created)
        assert box
        await client.ok("COPY 1 Box")
        assert await client.ok("STATUS Box (MAILBOXID)") == [b"* STATUS Box (MAILBOXID (%b))" % box[1]]
        assert b"* OK [MAILBOXID (%b)] Ok" % box[1] in await client.ok("SELECT Box")
        (line,) = await client.ok("FETCH 1 (EMAILID)")
        assert ids[0] in line
        await client.ok("UNSELECT")
        await client.ok("RENAME Box Other")
        assert await client.ok("STATUS Other (MAILBOXID)") == [b"* STATUS Other (MAILBOXID (%b))" % box[1]]
        assert box[1] not in (await client.ok("STATUS INBOX (MAILBOXID)"))[0]
        await client.close()

    run(dialogue())
