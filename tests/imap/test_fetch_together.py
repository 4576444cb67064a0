"""FETCH of many messages: columns and the cache give what each message by itself gives."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands.fetch import RUN, StreamBroken, runs, send_stream
from pillarbox.imapd.fetch.header_fields import KEPT, short_header
from pillarbox.imapd.fetch.item import Stream
from pillarbox.imapd.fetch.section import Section, select_fields
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.maildir.mailbox import MaildirMailbox
from tests.imap.dialogue import MESSAGE, Client, location, run

ITEMS = (
    "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE "
    "BODY.PEEK[HEADER.FIELDS (SUBJECT Date X-Priority)])"
)


@given(st.sets(st.integers(0, 1500)))
def test_runs_are_all_positions_in_order(wanted: set[int]) -> None:
    indexes = sorted(wanted)
    found = list(runs(indexes))
    assert [index for start, stop in found for index in range(start, stop)] == indexes
    assert all(0 < stop - start <= RUN for start, stop in found)


def test_a_run_of_all() -> None:
    assert list(runs(range(1200))) == [(0, RUN), (RUN, 2 * RUN), (2 * RUN, 1200)]


async def _filled(tmp_path: Path, count: int) -> Client:
    client = Client(location(tmp_path))
    for number in range(1, count + 1):
        flags = (r"(\Seen)", "($Label)", "()")[number % 3]
        text = MESSAGE.replace(b"first letter", b"letter %d" % number).replace(b"this is it", b"x" * number)
        await client.ok(f"APPEND INBOX {flags}", text)
    await client.ok("SELECT INBOX")
    return client


def test_many_at_once_are_as_one_by_one(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 9)
        singly = [(await client.ok(f"FETCH {number} {ITEMS}"))[0] for number in range(1, 10)]
        assert await client.ok(f"FETCH 1:* {ITEMS}") == singly
        (tmp_path / "Maildir" / "pillarbox.cache").unlink()
        other = Client(location(tmp_path))
        await other.ok("SELECT INBOX")
        lines = [line.replace(b" \\Recent", b"").replace(b"\\Recent", b"") for line in singly]
        assert await other.ok(f"FETCH 1:* {ITEMS}") == lines
        assert await other.ok(f"FETCH 1:4,6:9 {ITEMS}") == lines[:4] + lines[5:]
        await client.close()
        await other.close()

    run(dialogue())


def test_what_was_asked_once_is_not_read_again(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 5)
        first = await client.ok("FETCH 1:* (UID ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        await client.close()
        again = Client(location(tmp_path))
        await again.ok("SELECT INBOX")
        for path in (tmp_path / "Maildir" / "cur").iterdir():
            path.chmod(0)
            path.write_bytes(b"")
        assert await again.ok("FETCH 1:* (UID ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])") == first
        await again.close()

    run(dialogue())


ASKED = "(UID ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"


def _empty(folder: Path) -> None:
    """The messages can be read no more."""
    for path in folder.glob("*/*,S=*"):
        path.chmod(0)
        path.write_bytes(b"")


@pytest.mark.parametrize("command", ["COPY", "MOVE"])
def test_what_is_known_of_a_message_goes_with_it_to_another_mailbox(tmp_path: Path, command: str) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 5)
        first = await client.ok(f"FETCH 1:* {ASKED}")
        threads = await client.ok("THREAD REFERENCES UTF-8 ALL")
        await client.ok("CREATE Other")
        await client.ok(f"{command} 1:* Other")
        await client.ok("SELECT Other")
        _empty(tmp_path / "Maildir" / ".Other")
        assert await client.ok(f"FETCH 1:* {ASKED}") == first
        assert await client.ok("THREAD REFERENCES UTF-8 ALL") == threads
        await client.close()

    run(dialogue())


def test_whoever_reads_messages_for_the_index_of_texts_fills_the_cache(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 5)
        first = await client.ok(f"FETCH 1:* {ASKED}")
        threads = await client.ok("THREAD REFERENCES UTF-8 ALL")
        await client.close()
        (tmp_path / "Maildir" / "pillarbox.cache").unlink()
        other = Client(location(tmp_path), fts_autoindex="yes")
        await other.ok("SELECT INBOX")
        await asyncio.to_thread(other.session.text_indexing.keeper.wait)
        _empty(tmp_path / "Maildir")
        assert await other.ok(f"FETCH 1:* {ASKED}") == first
        assert await other.ok("THREAD REFERENCES UTF-8 ALL") == threads
        await other.close()

    run(dialogue())


@pytest.mark.parametrize(
    ("items", "opened", "alone"),
    [
        ("ENVELOPE", 0, 5),
        ("ENVELOPE BODYSTRUCTURE", 5, 0),
        ("BODYSTRUCTURE ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)]", 5, 0),
        ("BODY.PEEK[] ENVELOPE", 5, 0),
    ],
)
def test_no_message_is_opened_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: str, opened: int, alone: int
) -> None:
    counts: Counter[str] = Counter()

    def counted(name: str) -> None:
        real = getattr(MaildirMailbox, name)

        def call(self: MaildirMailbox, *arguments: object) -> object:
            counts[name] += 1
            return real(self, *arguments)

        monkeypatch.setattr(MaildirMailbox, name, call)

    async def dialogue() -> None:
        client = await _filled(tmp_path, 5)
        counted("read")
        counted("header")
        await client.ok(f"FETCH 1:* ({items})")
        assert (counts["read"], counts["header"]) == (opened, alone)
        await client.close()

    run(dialogue())


def test_a_message_that_went_meanwhile_is_passed_over_by_uid(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 6)
        path = next(path for path in (tmp_path / "Maildir").glob("*/*") if b"letter 3" in path.read_bytes())
        path.unlink()
        lines = await client.command("UID FETCH 1:* (ENVELOPE)")
        assert [line.split()[1] for line in lines[:-1] if b"ENVELOPE" in line] == [b"1", b"2", b"4", b"5", b"6"]
        assert lines[-1].startswith(b"OK")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("fields", ["SUBJECT", "subject TO x-mailer", '"Date" subject', '"X-%d" From'])
def test_header_fields_are_as_those_of_the_whole_header(tmp_path: Path, fields: str) -> None:
    """X-%d is no field of the cache, so the last one reads the message."""
    header = b"To: a@b\r\n , c@d\r\nX-%d: 1\r\nSUBJECT : one\r\nsubject: two\r\nno field\r\nFrom: e@f\r\n\r\n"

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        for _ in range(5):
            await client.ok("APPEND INBOX", header + b"text\r\n")
        await client.ok("SELECT INBOX")
        names = tuple(name.strip('"').encode() for name in fields.split())
        expected = select_fields(header, Section(text=b"HEADER.FIELDS", fields=names))
        tail = b"{%d}\r\n%b)" % (len(expected), expected)
        for numbers in ("1", "1:*", "1:*"):
            for line in await client.ok(f"FETCH {numbers} (BODY.PEEK[HEADER.FIELDS ({fields})])"):
                assert line.endswith(tail)
        await client.close()

    run(dialogue())


def test_a_short_header_ends_where_the_fields_end() -> None:
    assert b"subject" in KEPT
    assert short_header(b"Received: x\r\nSubject: a\r\n b\r\nnothing\r\nFrom: x\r\n\r\n") == b"Subject: a\r\n b\r\n"


def test_header_fields_set_seen(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 5)
        lines = await client.ok("FETCH 1:* (BODY[HEADER.FIELDS (SUBJECT)])")
        assert all(b"\\Seen" in line for line in lines if b"letter 3" not in line)
        await client.close()

    run(dialogue())


WHOLE = "(UID FLAGS BODY.PEEK[] RFC822.SIZE)"


@pytest.mark.parametrize(
    "items", ["BODY.PEEK[]", WHOLE, "(BODY.PEEK[] BODY.PEEK[HEADER])", "(UID RFC822.SIZE BODY.PEEK[])"]
)
def test_whole_messages_together_are_as_one_by_one(tmp_path: Path, items: str) -> None:
    """Small ones, some of several pieces, one that is streamed, one with CRLF in its file, one with NUL."""

    async def dialogue() -> None:
        client = await _filled(tmp_path, 4)
        for text in (b"A: b\r\n\r\n" + b"x" * 70 + b"\r\n", b"x", b"\r\n\r\n\r\n", b"a\rb\r\n"):
            await client.ok("APPEND INBOX", text)
        for lines in (1000, 1500, 2600):
            await client.ok("APPEND INBOX", b"A: b\r\n\r\n" + b"%d\r\n" % lines * lines * 10)
        cur = tmp_path / "Maildir" / "cur"
        (cur / "1700000001.M1.x,S=12:2,S").write_bytes(b"A: b\r\n\r\nc\r\n")
        (cur / "1700000002.M1.x:2,S").write_bytes(b"A: b\n\nc\0d\n")
        await client.ok("NOOP")
        singly = [(await client.ok(f"FETCH {number} {items}"))[0] for number in range(1, 14)]
        assert b"c\x80d" in singly[12]
        for _ in range(2):  # the second time all sizes are known
            assert await client.ok(f"FETCH 1:* {items}") == singly
        await client.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
        await client.ok("EXPUNGE")
        rest = singly[:1] + singly[2:]
        rest = [line.replace(b"* %d F" % number, b"* %d F" % (number - 1)) for number, line in enumerate(rest, 1)]
        again = await client.ok(f"FETCH 1:* {items}")
        assert [line.partition(b" FETCH")[2] for line in again] == [line.partition(b" FETCH")[2] for line in rest]
        await client.close()

    run(dialogue())


def test_whole_messages_that_changed_under_the_index(tmp_path: Path) -> None:
    """Renamed, cut, grown and gone files: what can be had is whole, and the size is that of what comes."""

    async def dialogue() -> None:
        client = await _filled(tmp_path, 9)
        expected = await client.ok("FETCH 1:* (UID BODY.PEEK[])")
        assert await client.ok("FETCH 1:* (UID BODY.PEEK[])") == expected
        paths = {}
        for path in (tmp_path / "Maildir").glob("*/*,S=*"):
            text = path.read_bytes()
            paths[next(number for number in range(1, 10) if b"letter %d" % number in text)] = path
        paths[2].rename(str(paths[2]) + "F" if ":2," in paths[2].name else str(paths[2]) + ":2,F")
        paths[4].unlink()
        paths[6].write_bytes(paths[6].read_bytes() + b"and more\n")
        lines = await client.command("UID FETCH 1:* (BODY.PEEK[])")
        assert lines[-1].startswith(b"OK")
        got = {int(line.split()[1]): line for line in lines[:-1] if b"BODY[]" in line}
        assert got.keys() == {1, 2, 3, 5, 6, 7, 8, 9}
        assert all(got[number] == expected[number - 1] for number in (1, 2, 3, 5, 7, 8, 9))
        assert got[6].endswith(b"and more\r\n)")
        await client.close()

    run(dialogue())


def test_whole_messages_that_are_read_already_need_no_change_of_flags(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await _filled(tmp_path, 8)
        first = await client.ok("FETCH 1:* (BODY[])")
        assert sum(b"FLAGS (\\Seen" in line for line in first) == 6  # two had it
        again = await client.ok("FETCH 1:* (BODY[])")
        assert not any(b"FLAGS" in line for line in again)
        assert [line.partition(b"BODY[]")[2][:60] for line in again] == [
            line.partition(b"BODY[]")[2][:60] for line in first
        ]
        for number, line in enumerate(await client.ok("FETCH 1:* (RFC822 BODY[])"), 1):
            assert line.count(b"letter %d" % number) == 2
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("chunks", [[b"abc", b"de"], [b"abc", b"defg"], [b"abcdefg"], [], [b"a"]])
def test_no_more_octets_than_were_announced(chunks: list[bytes]) -> None:
    sent: list[bytes] = []

    async def breathe() -> None:
        pass

    session = SimpleNamespace(send=sent.append, breathe=breathe)
    stream = Stream(b"BODY[] {5}\r\n", 5, iter(chunks))
    if sum(map(len, chunks)) == 5:
        asyncio.run(send_stream(cast("Session", session), stream, "message 1"))
    else:
        with pytest.raises(StreamBroken):
            asyncio.run(send_stream(cast("Session", session), stream, "message 1"))
    assert len(b"".join(sent)) <= len(stream.opening) + 5
