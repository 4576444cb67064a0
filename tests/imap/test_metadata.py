"""METADATA (RFC 5464) and LIST-METADATA (RFC 9590) in dialogues with a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands.command import Syntax
from pillarbox.imapd.commands.getmetadata import parse
from pillarbox.imapd.commands.setmetadata import parse as parse_set
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.lib.store import metadata
from pillarbox.lib.store.interface import ALL_RIGHTS, NoteKind, Store, StoreError
from pillarbox.lib.store.metadata import ENTRY_LIMIT, FAIR, GUEST_LIMIT, GUEST_VALUE_LIMIT, GUESTS_LIMIT, VALUE_LIMIT
from pillarbox.lib.store.notes import LIMIT
from tests.imap.dialogue import Client, location, run


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_annotations_are_set_told_and_removed(tmp_path: Path, kind: str) -> None:
    async def dialogue() -> None:
        client = Client(f"{kind}:{tmp_path}/mail")
        # The examples of RFC 5464 sections 4.2 and 4.3.
        await client.ok('SETMETADATA INBOX (/private/comment "My own comment" /shared/comment "Shared comment")')
        assert await client.ok("GETMETADATA INBOX /shared/comment") == [
            b'* METADATA INBOX (/shared/comment "Shared comment")'
        ]
        assert await client.ok("GETMETADATA INBOX (/shared/comment /private/comment)") == [
            b'* METADATA INBOX (/shared/comment "Shared comment" /private/comment "My own comment")'
        ]
        await client.ok("SETMETADATA INBOX (/private/comment NIL)")
        assert await client.ok("GETMETADATA INBOX /private/comment") == [b"* METADATA INBOX (/private/comment NIL)"]
        await client.close()
        again = Client(f"{kind}:{tmp_path}/mail")
        assert b"Shared comment" in (await again.ok("GETMETADATA INBOX /shared/comment"))[0]
        await again.close()

    run(dialogue())


def test_names_have_no_case_and_values_any_octets(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"a SETMETADATA INBOX (/Private/Vendor/X ~{5+}\r\na\x00\xff\r\n)\r\n")
        assert (await client.until(b"a"))[-1].startswith(b"a OK")
        (line,) = await client.ok("GETMETADATA INBOX /private/vendor/x")
        assert line == b"* METADATA INBOX (/private/vendor/x ~{5}\r\na\x00\xff\r\n)"
        await client.close()

    run(dialogue())


def test_the_sizes_that_are_told_can_be_bounded(tmp_path: Path) -> None:
    """RFC 5464 section 4.2.1."""

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok(b'SETMETADATA INBOX (/shared/comment "short" /private/comment "%b")' % (b"x" * 2199))
        lines = await client.command("GETMETADATA (MAXSIZE 1024) INBOX (/shared/comment /private/comment)")
        assert lines == [
            b'* METADATA INBOX (/shared/comment "short")',
            b"OK [METADATA LONGENTRIES 2199] Getmetadata completed.",
        ]
        await client.close()

    run(dialogue())


def test_depth_finds_what_lies_below(tmp_path: Path) -> None:
    """RFC 5464 section 4.2.2."""

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok(
            'SETMETADATA INBOX (/private/filters/values/small "SMALLER 5000" '
            '/private/filters/values/boss "FROM \\"boss@example.com\\"" /private/filters/values/boss/x "deep" '
            '/private/filterses "other")'
        )
        (line,) = await client.ok("GETMETADATA (DEPTH 1) INBOX (/private/filters/values)")
        assert b"small" in line and b"boss@example.com" in line and b"deep" not in line and b"other" not in line
        (line,) = await client.ok("GETMETADATA INBOX (DEPTH infinity) /private/filters")
        assert b"deep" in line and b"other" not in line
        assert await client.ok("GETMETADATA (DEPTH 1) INBOX /shared/nothing") == []
        (line,) = await client.ok("GETMETADATA (DEPTH infinity) INBOX /private")
        assert b"deep" in line and b"other" in line
        await client.close()

    run(dialogue())


def test_the_servers_own_are_read_and_only_the_private_are_set(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path), myhostname="mail.example.org")
        assert await client.ok('GETMETADATA "" /shared/admin') == [
            b'* METADATA "" (/shared/admin "mailto:postmaster@mail.example.org")'
        ]
        assert (await client.command('SETMETADATA "" (/shared/comment "x")'))[-1].startswith(b"NO [NOPERM]")
        await client.ok('SETMETADATA "" (/private/vendor/client/theme "dark")')
        assert await client.ok('GETMETADATA "" /private/vendor/client/theme') == [
            b'* METADATA "" (/private/vendor/client/theme "dark")'
        ]
        assert await client.ok("GETMETADATA INBOX /private/vendor/client/theme") == [
            b"* METADATA INBOX (/private/vendor/client/theme NIL)"
        ]
        await client.close()

    run(dialogue())


def test_too_large_and_too_many_are_refused_whole(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(
            b'a SETMETADATA INBOX (/private/a "kept?" /private/b {%d+}\r\n%b)\r\n'
            % (VALUE_LIMIT + 1, b"x" * (VALUE_LIMIT + 1))
        )
        assert (await client.until(b"a"))[-1].startswith(b"a NO [METADATA MAXSIZE %d]" % VALUE_LIMIT)
        assert await client.ok("GETMETADATA INBOX /private/a") == [b"* METADATA INBOX (/private/a NIL)"]
        for number in range(ENTRY_LIMIT):
            await client.ok(f'SETMETADATA INBOX (/private/n{number} "x")')
        assert (await client.command('SETMETADATA INBOX (/private/more "x")'))[-1].startswith(b"NO [METADATA TOOMANY]")
        await client.ok("SETMETADATA INBOX (/private/n1 NIL)")
        await client.ok('SETMETADATA INBOX (/private/more "x" /shared/too "x")')
        await client.close()

    run(dialogue())


class Shelf(Store):
    """Mailboxes with notes, as a reader of them, or "", their owner, sees them."""

    def __init__(self) -> None:
        self.user = ""
        self.data = b""

    def annotator(self, name: str) -> str:
        return self.user

    def rights(self, name: str) -> str:
        return "lr" if self.user else ALL_RIGHTS

    def note(self, name: str, kind: NoteKind) -> bytes:
        return self.data

    def change_note(self, name: str, kind: NoteKind, change: Callable[[bytes], bytes]) -> None:
        self.data = change(self.data)

    def annotate(self, user: str, size: int, count: int = 1, first: int = 0) -> str:
        """Set values of this size; the response code of what is refused."""
        self.user = user
        try:
            metadata.change(self, "Box", {f"/private/n{first + n}": b"x" * size for n in range(count)})
        except StoreError as error:
            return error.response_code
        return ""


Shelf.__abstractmethods__ = frozenset()


def test_a_reader_of_anothers_mailbox_has_a_bound() -> None:
    shelf = Shelf()
    assert shelf.annotate("bob", GUEST_VALUE_LIMIT) == ""
    assert shelf.annotate("bob", GUEST_VALUE_LIMIT + 1) == f"METADATA MAXSIZE {GUEST_VALUE_LIMIT}"
    assert shelf.annotate("bob", 8000, 8) == ""
    before = shelf.data
    assert shelf.annotate("bob", 8000, 1, first=9) == "METADATA TOOMANY"
    assert shelf.data == before
    assert shelf.annotate("eve", 8000, 8) == "" == shelf.annotate("", VALUE_LIMIT, 10)
    shelf.user = "bob"
    metadata.change(shelf, "Box", {"/private/n0": None})
    assert shelf.annotate("bob", 8000, 1, first=9) == ""


def test_readers_together_leave_room_for_each_other_and_the_owner() -> None:
    shelf = Shelf()
    greedy = 0
    while not shelf.annotate(f"greedy{greedy}", 8000, 8):
        greedy += 1
    assert GUESTS_LIMIT // 2 - GUEST_LIMIT < len(shelf.data) <= GUESTS_LIMIT // 2
    modest = 0
    while not (code := shelf.annotate(f"modest{modest}", FAIR - 100)):
        modest += 1
    assert code == "METADATA TOOMANY" and modest > 10 * greedy
    assert len(shelf.data) <= GUESTS_LIMIT
    assert shelf.annotate("greedy0", 7000) == "", "less than before is always possible"
    assert shelf.annotate("greedy0", 8000) == "METADATA TOOMANY"
    assert shelf.annotate("", VALUE_LIMIT, 50) == "", "the owner has the other half"
    assert shelf.annotate("", VALUE_LIMIT, 50, first=50) == "METADATA TOOMANY"
    assert len(shelf.data) <= LIMIT


@pytest.mark.parametrize(
    "line",
    [
        "GETMETADATA INBOX /public/comment",
        "GETMETADATA INBOX comment",
        "GETMETADATA INBOX /private/a*",
        "GETMETADATA INBOX /private//a",
        "GETMETADATA INBOX /private/a/",
        "GETMETADATA INBOX ()",
        "GETMETADATA (DEPTH 2) INBOX /private/a",
        "GETMETADATA (SIZE 2) INBOX /private/a",
        "SETMETADATA INBOX ()",
        "SETMETADATA INBOX (/private/a)",
        'SETMETADATA INBOX (/private "x")',
        'SETMETADATA INBOX (/private/a "x"',
        "SETMETADATA INBOX /private/a",
    ],
)
def test_wrong_entries_are_bad(tmp_path: Path, line: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert (await client.command(line))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_mailboxes_that_are_not_there_have_none(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert (await client.command("GETMETADATA Nowhere /private/a"))[-1].startswith(b"NO [NONEXISTENT]")
        assert (await client.command('SETMETADATA Nowhere (/private/a "x")'))[-1].startswith(b"NO [NONEXISTENT]")
        await client.close()

    run(dialogue())


def test_list_tells_annotations(tmp_path: Path) -> None:
    """RFC 9590 section 4."""

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("CREATE foo")
        await client.ok('SETMETADATA foo (/shared/vendor/cmu/cyrus-imapd/color "#b71c1c")')
        lines = await client.ok('LIST "" % RETURN (METADATA ("/shared/vendor/cmu/cyrus-imapd/color"))')
        assert lines[1] == b"* METADATA INBOX (/shared/vendor/cmu/cyrus-imapd/color NIL)"
        assert lines[3] == b'* METADATA foo (/shared/vendor/cmu/cyrus-imapd/color "#b71c1c")'
        lines = await client.ok('LIST "" foo RETURN (METADATA (DEPTH infinity) /shared CHILDREN)')
        assert lines[1] == b'* METADATA foo (/shared/vendor/cmu/cyrus-imapd/color "#b71c1c")'
        await client.close()

    run(dialogue())


@given(st.binary(max_size=60))
def test_any_arguments_are_read_or_refused(data: bytes) -> None:
    for command in (parse, parse_set):
        try:
            command(Syntax(Cursor(b" INBOX " + data)))
        except BadSyntax:
            pass


@given(st.dictionaries(st.from_regex(r"/(shared|private)/[a-z]{1,5}", fullmatch=True), st.binary(max_size=40)))
def test_entries_come_back_from_their_note(entries: dict[str, bytes]) -> None:
    assert metadata.parse(metadata.serialize(entries)) == entries
