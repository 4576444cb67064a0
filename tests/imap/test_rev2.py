"""IMAP4rev2 (RFC 9051) and UTF8=ACCEPT (RFC 6855): what enabling them changes, and LITERAL- (RFC 7888)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.imapd.protocol.capabilities import login_capabilities
from pillarbox.lib.config import Config
from tests.imap.dialogue import MESSAGE, Client, location, run

COMPOSED, DECOMPOSED = "Café", "Cafe\u0301"


async def enabled(tmp_path: Path, what: str = "IMAP4rev2", **parameters: str) -> Client:
    client = Client(location(tmp_path), **parameters)
    assert await client.ok(f"ENABLE {what}") == [f"* ENABLED {what.upper()}".encode()]
    return client


def test_select_tells_the_mailbox_and_nothing_of_recent_messages(tmp_path: Path) -> None:
    """RFC 9051 section 6.3.2 and appendix E, 10 to 12."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        await client.ok("APPEND INBOX", MESSAGE)
        lines = await client.ok("SELECT INBOX")
        assert b'* LIST (\\HasNoChildren) "/" INBOX' in lines and b"* 1 EXISTS" in lines
        assert not any(b"RECENT" in line or b"[UNSEEN" in line for line in lines)
        assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]
        await client.close()

    run(dialogue())


def test_changes_of_flags_are_told_with_uid(tmp_path: Path) -> None:
    """RFC 9051 appendix E, 21."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("SELECT INBOX")
        lines = await client.ok("STORE 1 +FLAGS (\\Flagged)")
        assert any(line.startswith(b"* 1 FETCH (UID 1 FLAGS (\\Flagged)") for line in lines), lines
        await client.close()

    run(dialogue())


def test_search_answers_with_esearch(tmp_path: Path) -> None:
    """RFC 9051 section 6.4.4: without RETURN, ALL is meant."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("SELECT INBOX")
        assert await client.ok("SEARCH ALL") == [b'* ESEARCH (TAG "t4") ALL 1']
        assert await client.ok("UID SEARCH SEEN") == [b'* ESEARCH (TAG "t5") UID']
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("command", ['LSUB "" *', "CHECK"])
def test_commands_that_rev2_has_done_away_with(tmp_path: Path, command: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("SELECT INBOX")
        await client.ok(command)
        await client.ok("ENABLE IMAP4rev2")
        assert (await client.command(command))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("what", ["IMAP4rev2", "UTF8=ACCEPT"])
def test_names_are_utf8_once_that_is_enabled(tmp_path: Path, what: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("CREATE Caf&AOk-")
        assert b'"/" Caf&AOk-' in b"\n".join(await client.ok('LIST "" *'))
        await client.ok(f"ENABLE {what}")
        assert f'"/" "{COMPOSED}"'.encode() in b"\n".join(await client.ok('LIST "" *'))
        await client.ok(f'STATUS "{COMPOSED}" (MESSAGES)')
        await client.ok(f'APPEND "{COMPOSED}"', MESSAGE)
        await client.ok("CREATE A&-B")  # no longer modified UTF-7: the name as it stands
        assert b'"/" A&-B' in b"\n".join(await client.ok('LIST "" *'))
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "command", [b'CREATE "\xff"', b'SELECT "a\x01b"', 'CREATE "a\u2028b"'.encode(), b'LIST "" "\xff"']
)
def test_what_is_no_name_in_utf8_is_bad(tmp_path: Path, command: bytes) -> None:
    """RFC 6855 section 3."""

    async def dialogue() -> None:
        client = await enabled(tmp_path, "UTF8=ACCEPT")
        assert (await client.command(command))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_names_are_stored_in_normal_form_and_the_client_is_told(tmp_path: Path) -> None:
    """RFC 9051 sections 6.3.4 and 6.3.9.7: LIST with OLDNAME."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        told = f'"{COMPOSED}" ("OLDNAME" ("{DECOMPOSED}"))'.encode()
        assert await client.ok(f'CREATE "{DECOMPOSED}"') == [b'* LIST () "/" ' + told]
        assert b'* LIST () "/" ' + told in await client.ok(f'SELECT "{DECOMPOSED}"')
        assert await client.ok(f'CREATE "{COMPOSED}2"') == []
        assert await client.ok(f'RENAME "{DECOMPOSED}" Other') == [
            f'* LIST () "/" Other ("OLDNAME" ("{DECOMPOSED}"))'.encode()
        ]
        assert await client.ok(f'DELETE "{DECOMPOSED}2"') == [
            f'* LIST (\\NonExistent) "/" "{COMPOSED}2" ("OLDNAME" ("{DECOMPOSED}2"))'.encode()
        ]
        await client.close()

    run(dialogue())


def test_mailboxes_that_others_named_otherwise_are_reached(tmp_path: Path) -> None:
    """A name that is not in normal form was made before, or by another program: it stays what it is."""

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("CREATE Cafe&AwE-")
        await client.ok("ENABLE IMAP4rev2")
        assert f'"/" "{DECOMPOSED}"'.encode() in b"\n".join(await client.ok('LIST "" *'))
        assert f'"/" "{DECOMPOSED}"'.encode() in b"\n".join(await client.ok(f'LIST "" "{DECOMPOSED}"'))
        await client.ok(f'SELECT "{DECOMPOSED}"')
        await client.ok(f'APPEND "{DECOMPOSED}"', MESSAGE)
        assert (await client.command(f'SELECT "{COMPOSED}"'))[-1].startswith(b"NO [NONEXISTENT]")
        assert await client.ok(f'RENAME "{DECOMPOSED}" "{COMPOSED}"') == []
        await client.ok(f'SELECT "{DECOMPOSED}"')
        await client.close()

    run(dialogue())


def test_search_with_charset_is_bad_with_utf8(tmp_path: Path) -> None:
    """RFC 6855 section 3."""

    async def dialogue() -> None:
        client = await enabled(tmp_path, "UTF8=ACCEPT")
        await client.ok("SELECT INBOX")
        assert (await client.command("SEARCH CHARSET UTF-8 ALL"))[-1].startswith(b"BAD")
        assert await client.ok(f'SEARCH SUBJECT "{COMPOSED}"') == [b"* SEARCH"]
        await client.close()

    run(dialogue())


def test_append_of_utf8_messages(tmp_path: Path) -> None:
    """RFC 6855 section 4: the data extension UTF8, also several messages of both kinds in one command."""
    message = MESSAGE.replace(b"first letter", "erster Brüf".encode())
    size = len(message)

    async def dialogue() -> None:
        client = await enabled(tmp_path, "UTF8=ACCEPT", imap_max_bad_commands="100")
        await client.send(b"a APPEND INBOX (\\Seen) UTF8 (~{%d+}\r\n%b)\r\n" % (size, message))
        assert (await client.line()).startswith(b"a OK [APPENDUID ")
        parts = (size, message, size, message)
        await client.send(b"b APPEND INBOX UTF8 (~{%d+}\r\n%b) (\\Flagged) {%d+}\r\n%b\r\n" % parts)
        assert (await client.line()).startswith(b"b OK [APPENDUID ")
        for wrong in (b"%b", b"%b) x", b"%b))"):
            await client.send(b"c APPEND INBOX UTF8 (~{%d+}\r\n" % size + wrong % message + b"\r\n")
            assert (await client.line()).startswith(b"c BAD")
        await client.ok("SELECT INBOX")
        assert message in (await client.ok("FETCH 3 BODY.PEEK[]"))[0]
        assert (await client.command("FETCH 4 UID"))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_utf8_messages_are_for_clients_that_enabled_it(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"a APPEND INBOX UTF8 (~{3+}\r\nabc)\r\n")
        assert (await client.line()).startswith(b"a BAD")
        await client.ok("NOOP")
        await client.close()

    run(dialogue())


def test_literal_minus_is_announced_and_enforced(tmp_path: Path) -> None:
    """RFC 7888 section 5: above 4096 octets a client must wait; what comes all the same is dropped and BAD."""

    async def dialogue() -> None:
        client = Client(location(tmp_path), imap_literal_minus="yes")
        words = (await client.ok("CAPABILITY"))[0].split()
        assert b"LITERAL-" in words and b"LITERAL+" not in words
        await client.send(b"a CREATE {4+}\r\nfour\r\n")
        assert (await client.line()).startswith(b"a OK")
        await client.send(
            b"b APPEND four {4097+}\r\n" + b"x" * 4097 + b"\r\nc APPEND four {4096+}\r\n" + b"x" * 4096 + b"\r\n"
        )
        assert (await client.line()).startswith(b"b BAD")
        assert (await client.line()).startswith(b"c OK")
        assert (await client.command("APPEND four", b"x" * 5000))[-1].startswith(b"OK")
        await client.close()

    run(dialogue())


def test_rev2_is_announced_before_and_after_login(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        words = (await client.ok("CAPABILITY"))[0].split()
        assert words[2:4] == [b"IMAP4rev1", b"IMAP4rev2"]
        await client.close()

    run(dialogue())
    assert "IMAP4rev2" in login_capabilities(Config.for_tests(), tls_offered=True, mechanisms=()).split()


def test_binary_and_the_other_parts_of_rev2_are_there(tmp_path: Path) -> None:
    """RFC 9051 appendix E, 2 and 3: what was folded in, each tried once."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("SELECT INBOX")
        assert b"BINARY[1] {25}" in (await client.ok("FETCH 1 BINARY.PEEK[1]"))[0]
        assert await client.ok("FETCH 1 BINARY.SIZE[1]") == [b"* 1 FETCH (BINARY.SIZE[1] 25)"]
        assert await client.ok("SEARCH RETURN (SAVE) ALL") == []
        assert await client.ok("FETCH $ (FLAGS)") == [b"* 1 FETCH (FLAGS ())"]
        (line,) = await client.ok("STATUS INBOX (DELETED SIZE MESSAGES)")
        assert line == b"* STATUS INBOX (DELETED 0 SIZE %d MESSAGES 1)" % len(MESSAGE)
        for command in (
            'LIST "" "*" RETURN (SUBSCRIBED CHILDREN STATUS (UIDNEXT))',
            "NAMESPACE",
            "UID MOVE 9 INBOX",
            "UNSELECT",
        ):
            await client.ok(command)
        await client.close()

    run(dialogue())
