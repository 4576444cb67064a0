"""CATENATE (RFC 4469), REPLACE (RFC 8508), literal8 (RFC 3516) and APPENDLIMIT (RFC 7889)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands.append_binary import IN_MEMORY, WITHOUT_FILE
from pillarbox.imapd.commands.append_grammar import AppendReader, Begin, End, Octets, Url, is_message
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import MessageUrl, parse_url
from pillarbox.lib.store.interface import OverQuota, StoreUnavailable
from pillarbox.lib.store.maildir.append import MaildirAppender
from pillarbox.lib.store.maildir.mailbox import MaildirMailbox
from tests.imap.dialogue import MESSAGE, Client, location, run

MIXED = (
    b"Subject: mixed\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\nfirst\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>second\r\n--b--\r\n"
)


async def opened(tmp_path: Path, *messages: bytes, **parameters: str) -> Client:
    client = Client(location(tmp_path), **parameters)
    for message in messages:
        await client.ok("APPEND INBOX", message)
    await client.ok("SELECT INBOX")
    return client


async def text(client: Client, uid: int) -> bytes:
    (line,) = await client.ok(f"UID FETCH {uid} (BODY.PEEK[])")
    return line.partition(b"}\r\n")[2][:-1]


# --- CATENATE
def test_a_message_from_parts_of_others_and_texts(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MIXED)
        await client.send(
            b'A CATENATE\r\nA APPEND INBOX (\\Seen) CATENATE (URL "/INBOX/;UID=1/;SECTION=HEADER" TEXT {14+}\r\n'
            b'\r\n--b\r\n\r\nnew\r\n URL {27+}\r\n/INBOX;UID=1/;section=2.MIME URL "/INBOX/;UID=1/;SECTION=2"'
            b" TEXT {11+}\r\n\r\n--b--\r\nxy)\r\n".replace(b"A CATENATE\r\n", b"").replace(b"{27+}", b"{28+}")
        )
        answer = await client.until(b"A")
        assert re.match(rb"A OK \[APPENDUID \d+ 2\]", answer[-1]), answer
        header = MIXED[: MIXED.index(b"--b")]
        expected = header + b"\r\n--b\r\n\r\nnew\r\n" + b"Content-Type: text/html\r\n\r\n<p>second\r\n--b--\r\nxy"
        assert await text(client, 2) == expected
        await client.close()

    run(dialogue())


def test_urls_alone(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MIXED)
        await client.ok("CREATE Other/Box")
        await client.ok('APPEND Other/Box CATENATE (URL "/INBOX;UID=1" URL "/INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=5.2")')
        await client.ok('APPEND INBOX CATENATE (URL "/Other/Box/;UID=1") CATENATE (URL "/INBOX/;UID=1")')
        assert await text(client, 2) == MIXED + b"\r\n"
        assert await text(client, 3) == MIXED
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "url",
    [
        "/INBOX;UIDVALIDITY=1/;UID=1",
        "/INBOX/;UID=9",
        "/Nowhere/;UID=1",
        "/INBOX/;UID=1/;SECTION=7",
        "/INBOX/;UID=1/;SECTION=HEADER.X",
        "imap://other@example.org/INBOX/;UID=1",
        "INBOX",
        "/INBOX/;UID=1/;SECTION=TEXT}{5",
    ],
)
def test_a_bad_url_stores_nothing(tmp_path: Path, url: str) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        (answer,) = await client.command(f'APPEND INBOX CATENATE (URL "{url}")')
        assert re.match(rb'NO \[BADURL "[^"\]]*"\] ', answer)
        await client.send(b'x APPEND INBOX CATENATE (TEXT {3+}\r\nabc URL "%b" TEXT {3+}\r\nabc)\r\n' % url.encode())
        assert (await client.until(b"x"))[-1].startswith(b"x NO [BADURL ")
        assert b"* 1 EXISTS" in await client.ok("EXAMINE INBOX")
        assert not list((tmp_path / "Maildir" / "tmp").iterdir())
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "command",
    [
        b"APPEND INBOX CATENATE ()",
        b'APPEND INBOX CATENATE (URL "/INBOX/;UID=1"',
        b'APPEND INBOX CATENATE (URL "/INBOX/;UID=1" )',
        b"APPEND INBOX CATENATE (TEXT abc)",
        b"APPEND INBOX CATENATE (TEXT {3+}\r\nabc) x",
        b"APPEND INBOX CATENATE (TEXT {3+}\r\nabc",
        b"APPEND INBOX",
        b"REPLACE 9 INBOX {3+}\r\nabc",
        b"REPLACE 0 INBOX {3+}\r\nabc",
        b"REPLACE 1 INBOX {3+}\r\nabc {3+}\r\nabc",
    ],
)
def test_what_is_wrong_is_bad(tmp_path: Path, command: bytes) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        await client.send(b"x " + command + b"\r\nn NOOP\r\n")
        assert (await client.until(b"x"))[-1].startswith(b"x BAD ")
        assert await client.until(b"n") == [b"n OK NOOP completed."]
        assert not list((tmp_path / "Maildir" / "tmp").iterdir())
        await client.close()

    run(dialogue())


def test_nothing_makes_no_message(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        await client.send(b"x APPEND INBOX CATENATE (TEXT {0+}\r\n)\r\n")
        assert (await client.until(b"x"))[-1].startswith(b"x NO ")
        await client.close()

    run(dialogue())


# --- APPENDLIMIT
def test_the_limit_is_told_and_kept(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE, imap_append_limit="300")
        assert b" APPENDLIMIT=300 " in (await client.ok("CAPABILITY"))[0] + b" "
        assert await client.ok("STATUS INBOX (APPENDLIMIT)") == [b"* STATUS INBOX (APPENDLIMIT 300)"]
        url = b'URL "/INBOX/;UID=1" '
        await client.send(b"x APPEND INBOX CATENATE (%bTEXT {200+}\r\n%b)\r\n" % (url, bytes(200)))
        assert (await client.until(b"x"))[-1].startswith(b"x NO [TOOBIG] ")
        (answer,) = await client.command(b"APPEND INBOX CATENATE (" + url + url.strip() + b")")
        assert answer.startswith(b"NO [TOOBIG] ")
        await client.close()
        free = Client(location(tmp_path))
        assert b" APPENDLIMIT " in (await free.ok("CAPABILITY"))[0] + b" "
        assert await free.ok("STATUS INBOX (APPENDLIMIT)") == [b"* STATUS INBOX (APPENDLIMIT NIL)"]
        await free.close()

    run(dialogue())


# --- literal8
OCTETS = bytes(range(256)) + b"\nend\r\0"
BINARY = (
    b"Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\none\ntwo\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n%b\r\n--b--\r\n"
)
SIGNED = b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n\0\r\n--s\r\n\r\nsignature\r\n--s--\r\n"


async def append_binary(client: Client, arguments: bytes, *contents: bytes) -> bytes:
    """APPEND with a literal8 for each %b; gives the tagged answer."""
    literals = tuple(b"~{%d+}\r\n%b" % (len(content), content) for content in contents)
    await client.send(b"x APPEND INBOX " + arguments % literals + b"\r\n")
    return (await client.until(b"x"))[-1]


def test_a_binary_literal_of_text_is_stored_as_it_is(tmp_path: Path) -> None:
    long_lines = MESSAGE + b"x" * 3000 + b"\r\n"

    async def dialogue() -> None:
        client = await opened(tmp_path)
        assert (await append_binary(client, b"%b %b", MESSAGE, long_lines)).startswith(b"x OK ")
        assert await text(client, 1) == MESSAGE
        assert await text(client, 2) == long_lines
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("filling", [0, 3 * IN_MEMORY])
def test_parts_that_are_no_text_are_stored_encoded_and_come_back_as_they_were(tmp_path: Path, filling: int) -> None:
    """RFC 3516 section 4.4; BODYSTRUCTURE and BODY tell of the encoding that they have (section 6)."""
    octets = OCTETS + bytes(filling)

    async def dialogue() -> None:
        client = await opened(tmp_path)
        assert (await append_binary(client, b"%b (\\Seen) %b", BINARY % octets, MESSAGE)).startswith(b"x OK ")
        (line,) = await client.ok("UID FETCH 1 (BINARY.PEEK[1] BINARY.PEEK[2])")
        expected = b"BINARY[1] {7}\r\none\ntwo BINARY[2] ~{%d}\r\n%b)" % (len(octets), octets)
        assert line.endswith(expected)
        (line,) = await client.ok("UID FETCH 1 BODYSTRUCTURE")
        assert b'NIL NIL "quoted-printable" ' in line and b'NIL NIL "base64" ' in line
        stored = await text(client, 1)
        assert b"\0" not in stored and base64.encodebytes(octets)[:60] in stored
        (line,) = await client.ok("UID FETCH 1 (BINARY.PEEK[])")
        assert octets in line and b"one\ntwo" in line
        assert await text(client, 2) == MESSAGE
        assert not list((tmp_path / "Maildir" / "tmp").iterdir())
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: a\0b\r\n\r\nx\r\n",
        SIGNED,
        b"Content-Transfer-Encoding: x-unknown\r\n\r\na\0b\r\n",
        b"Content-Type: message/partial; id=1; number=1\r\n\r\na\0b\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nbefore\0\r\n--b\r\n\r\nx\r\n--b--\r\n",
    ],
)
def test_what_cannot_be_encoded_is_refused(tmp_path: Path, content: bytes) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path)
        assert (await append_binary(client, b"%b %b", MESSAGE, content)).startswith(b"x NO [UNKNOWN-CTE] ")
        assert b"* 0 EXISTS" in await client.ok("EXAMINE INBOX")
        assert not list((tmp_path / "Maildir" / "tmp").iterdir())
        await client.close()

    run(dialogue())


def test_a_binary_piece_of_a_message_from_pieces(tmp_path: Path) -> None:
    """CATENATE: what stands before it came as text, or from another message."""
    before, _, after = (BINARY % b"|").partition(b"|")

    async def dialogue() -> None:
        client = await opened(tmp_path, before)
        answer = await append_binary(
            client, b'CATENATE (URL "/INBOX/;UID=1" TEXT %b TEXT {%d+}\r\n%b)' % (b"%b", len(after), after), OCTETS
        )
        assert answer.startswith(b"x OK ")
        (line,) = await client.ok("UID FETCH 2 (BINARY.PEEK[2])")
        assert line.endswith(b"~{%d}\r\n%b)" % (len(OCTETS), OCTETS))
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "pieces", [(b"\nabc\r\n",), (b"abc\r", b"\nabc"), (b"abc\r\n", b"\nabc"), (b"abc", b"\n"), (b"abc\r\n\n",)]
)
def test_a_line_feed_alone_is_kept_wherever_a_piece_begins(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    head = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"

    async def dialogue() -> None:
        client = await opened(tmp_path)
        texts = b"".join(b" TEXT %b" for _ in pieces)
        arguments = b"CATENATE (TEXT {%d+}\r\n%b%b)" % (len(head), head, texts)
        assert (await append_binary(client, arguments, *pieces)).startswith(b"x OK ")
        (line,) = await client.ok("UID FETCH 1 (BINARY.PEEK[1])")
        assert line.partition(b"}\r\n")[2] == b"".join(pieces) + b")"
        await client.close()

    run(dialogue())


def test_where_no_file_can_be_only_small_ones_are_encoded(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(f"sqlite:{tmp_path}/mail.db")
        assert (await append_binary(client, b"%b", BINARY % OCTETS)).startswith(b"x OK ")
        large = BINARY % (OCTETS + bytes(WITHOUT_FILE))
        assert (await append_binary(client, b"%b", large)).startswith(b"x NO [UNKNOWN-CTE] ")
        assert (await append_binary(client, b"%b", MESSAGE + b"text\r\n" * 200_000)).startswith(b"x OK ")
        await client.ok("SELECT INBOX")
        (line,) = await client.ok("UID FETCH 1 (BINARY.PEEK[2])")
        assert line.endswith(b"~{%d}\r\n%b)" % (len(OCTETS), OCTETS))
        await client.close()

    run(dialogue())


# --- REPLACE
@pytest.mark.parametrize("command", ["REPLACE 2", "UID REPLACE 2"])
def test_the_new_message_stands_in_for_the_old_one(tmp_path: Path, command: str) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE, MESSAGE, MESSAGE)
        lines = await client.command(rf'{command} INBOX (\Draft) "12-Jun-2023 10:00:00 +0000"', MIXED)
        assert re.fullmatch(rb"\* OK \[APPENDUID \d+ 4\] .*", lines[0])
        assert b"* 4 EXISTS" in lines and lines[-2] == b"* 2 EXPUNGE"
        assert lines[-1] == b"OK Replace completed."
        (line,) = await client.ok("FETCH 3 (UID FLAGS INTERNALDATE)")
        assert b"UID 4 " in line and b"\\Draft" in line and b"12-Jun-2023" in line
        assert await text(client, 4) == MIXED
        await client.close()

    run(dialogue())


def test_into_another_mailbox(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        await client.ok("CREATE Sent")
        lines = await client.ok('REPLACE 1 Sent CATENATE (URL "/INBOX/;UID=1")')
        assert lines[1:] == [b"* 1 EXPUNGE"]
        assert await client.ok("STATUS Sent (MESSAGES)") == [b"* STATUS Sent (MESSAGES 1)"]
        await client.close()

    run(dialogue())


def test_a_replace_that_fails_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        assert (await client.command("REPLACE 1 Nowhere", MESSAGE))[-1].startswith(b"NO [TRYCREATE]")
        assert (await client.command("UID REPLACE 7 INBOX", MESSAGE))[-1].startswith(b"NO [NONEXISTENT]")

        def full(self: MaildirAppender, date: float | None = None) -> None:
            raise OverQuota("cannot store message: no space")

        monkeypatch.setattr(MaildirAppender, "sync", full)
        assert (await client.command("REPLACE 1 INBOX", MESSAGE))[-1].startswith(b"NO [OVERQUOTA]")
        assert b"* 1 EXISTS" in await client.ok("EXAMINE INBOX")
        assert (await client.command("REPLACE 1 INBOX", MESSAGE))[-1].startswith(b"NO [READ-ONLY]")
        await client.close()

    run(dialogue())


def test_a_full_disk_is_no_bad_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)

        def full(self: MaildirAppender, data: bytes) -> None:
            raise OverQuota("cannot store message: no space")

        monkeypatch.setattr(MaildirAppender, "write", full)
        answer = await client.command('APPEND INBOX CATENATE (URL "/INBOX/;UID=1")')
        assert answer[-1].startswith(b"NO [OVERQUOTA]"), answer
        await client.close()

    run(dialogue())


def test_other_sessions_go_on_while_the_disk_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dialogue() -> None:
        client, other = await opened(tmp_path, MESSAGE), await opened(tmp_path)
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        def slow(self: MaildirAppender, date: float | None = None) -> None:
            asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(20)
            real(self, date)

        real = MaildirAppender.sync
        monkeypatch.setattr(MaildirAppender, "sync", slow)
        append = asyncio.ensure_future(client.ok("APPEND INBOX", MESSAGE))
        await asyncio.sleep(0.01)
        await other.ok("NOOP")
        assert not append.done()
        answered.set()
        await append
        await client.close()
        await other.close()

    run(dialogue())


# --- grammar
def test_steps_of_a_command() -> None:
    reader = AppendReader()
    first = list(reader.steps(Cursor(b' (\\Seen) CATENATE (URL "/a" TEXT {5}\r\n')))
    assert first == [Begin(1, frozenset(), None, in_parts=True), Url(b"/a"), Octets(alone=False)]
    assert list(reader.steps(Cursor(b" URL {3}\r\n"))) == [Url(None)]
    second = list(reader.steps(Cursor(b") UTF8 (~{9}\r\n")))
    assert second == [End(), Begin(0, frozenset(), None), Octets(alone=True, utf8=True)]
    assert list(reader.steps(Cursor(b")"))) == [End()]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (b"a APPEND INBOX {5}\r\n", True),
        (b"a APPEND {5}\r\n", False),
        (b"a append {5}\r\nINBOX {5+}\r\n", True),
        (b"a APPEND INBOX CATENATE (URL {5}\r\n", False),
        (b"a APPEND INBOX CATENATE (URL {2}\r\n/a TEXT {5}\r\n", True),
        (b"a UID REPLACE 4 INBOX ~{5}\r\n", True),
        (b"a REPLACE 4 {5}\r\n", False),
        (b"a SEARCH SUBJECT {5}\r\n", False),
    ],
)
def test_which_literals_are_messages(command: bytes, message: bool) -> None:
    assert is_message(command) is message


@given(
    st.lists(
        st.sampled_from([b" ", b"(", b")", b"CATENATE (", b"URL ", b'"/a"', b"TEXT ", b"{3}\r\n", b"UTF8 (", b"~"])
    )
)
def test_any_stretch_is_steps_or_bad(words: list[bytes]) -> None:
    reader = AppendReader()
    try:
        for _ in range(3):
            assert len(list(reader.steps(Cursor(b"".join(words))))) < 50
    except BadSyntax:
        pass


def test_urls() -> None:
    found = parse_url(b"/foo%20bar/b;UIDVALIDITY=7/;UID=20/;SECTION=1.2/;PARTIAL=3.4")
    assert found == MessageUrl("foo bar/b", 20, 7, b"1.2", (3, 4))
    # The form of RFC 4469 section 3.
    assert parse_url(b"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER") == MessageUrl(
        "Drafts", 20, 385759045, b"HEADER"
    )
    assert parse_url(b"/inbox;UID=1") == MessageUrl("INBOX", 1)
    for bad in (b"", b"/", b"/a", b"/a/;UID=0", b"/a/;UID=x", b"http://a/b/;UID=1", b"/a/;UID=1/;PARTIAL=1.0", b"\xff"):
        assert parse_url(bad) is None


@given(st.text(alphabet="/;=INBOXUDSECTIOPRAL0123456789.:%a@", max_size=60))
def test_any_text_is_a_url_or_none(text: str) -> None:
    found = parse_url(text.encode())
    assert found is None or found.uid > 0


@pytest.mark.parametrize("removed", [True, False])
def test_a_removal_that_fails_leaves_one_message_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    real = MaildirMailbox.expunge

    def lost(self: MaildirMailbox, uids: Collection[int]) -> tuple[int, ...]:
        """As where the connection to a database is lost while it commits."""
        if removed:
            real(self, uids)
        raise StoreUnavailable("nobody knows")

    async def dialogue() -> None:
        client = await opened(tmp_path, MESSAGE)
        with monkeypatch.context() as patch:
            selected = client.session.mailbox.mailbox
            patch.setattr(selected, "expunge", lambda uids: lost(selected, uids))  # type: ignore[arg-type]
            assert (await client.command("REPLACE 1 INBOX", MESSAGE))[-1].startswith(b"NO ")
        assert b"MESSAGES 1)" in (await client.ok("STATUS INBOX (MESSAGES)"))[0]
        await client.close()

    run(dialogue())
