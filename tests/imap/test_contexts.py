"""Live results (RFC 5267), and searches in several mailboxes (RFC 7377)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import FLAGGED
from tests.imap.dialogue import Client, location, run


def mail(subject: str, text: str = "hello") -> bytes:
    return f"From: Ann <ann@example.org>\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


def put(place: str, mailbox: str, *messages: bytes) -> None:
    store = open_store(place)
    for message in messages:
        store.append(mailbox, [message])
    store.close()


def dialogue(place: str, talk: Callable[[Client], Awaitable[None]]) -> None:
    """A session with the letters b, d and f in its INBOX."""

    async def whole() -> None:
        put(place, "INBOX", mail("b"), mail("d"), mail("f"))
        client = Client(place)
        await client.ok("SELECT INBOX")
        await talk(client)
        await client.close()

    run(whole())


@pytest.fixture(params=["maildir", "mbox", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "box"
    if request.param != "sqlite":
        folder.mkdir()
    return f"{request.param}:{folder}"


def updates(lines: list[bytes]) -> list[bytes]:
    """The changes of results, without their common beginning."""
    return [line.partition(b") ")[2] for line in lines if b"ESEARCH" in line]


def test_a_result_is_kept_up_to_date(place: str) -> None:
    async def talk(client: Client) -> None:
        await client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)")
        (line,) = await client.ok("UID SEARCH RETURN (UPDATE COUNT) FLAGGED")
        tag = line.split(b'"')[1].decode()
        assert line.endswith(b"UID COUNT 1")
        assert updates(await client.ok("UID STORE 2 +FLAGS.SILENT (\\Flagged)")) == [b"UID ADDTO (0 2)"]
        assert updates(await client.ok("UID STORE 1 -FLAGS.SILENT (\\Flagged)")) == [b"UID REMOVEFROM (0 1)"]
        with open_store(place).open("INBOX") as mailbox:
            mailbox.set_flags([3], "add", FLAGGED)
            mailbox.expunge([2])
        lines = await client.ok("NOOP")
        assert updates(lines) == [b"UID REMOVEFROM (0 2)", b"UID ADDTO (0 3)"]
        assert b"REMOVEFROM" in lines[0], "before the EXPUNGE"
        await client.ok(f'CANCELUPDATE "{tag}"')
        assert updates(await client.ok("UID STORE 1 +FLAGS.SILENT (\\Flagged)")) == []
        assert (await client.command(f'CANCELUPDATE "{tag}"'))[-1].startswith(b"BAD")
        assert (await client.command("CANCELUPDATE"))[-1].startswith(b"BAD")

    dialogue(place, talk)


def test_numbers_hold_where_a_result_by_number_changes(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        await client.ok("SEARCH RETURN (UPDATE CONTEXT) SUBJECT d")
        put(location(tmp_path), "INBOX", mail("d2"))
        with open_store(location(tmp_path)).open("INBOX") as mailbox:
            mailbox.expunge([1, 2])
        lines = await client.ok("NOOP")
        told = [line for line in lines if b"ESEARCH" in line or b"EXPUNGE" in line]
        assert [line.rpartition(b") ")[2] or line for line in told][1:3] == [b"* 2 EXPUNGE", b"* 1 EXPUNGE"]
        assert updates(lines) == [b"REMOVEFROM (0 2)", b"ADDTO (0 2)"]

    dialogue(location(tmp_path), talk)


def test_a_sorted_result_tells_places(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        (line,) = await client.ok("UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 ALL")
        assert line.endswith(b"UID ALL 3,2,1")
        put(location(tmp_path), "INBOX", mail("c"), mail("z"))
        assert updates(await client.ok("NOOP")) == [b"UID ADDTO (1 5 4 4)"]
        with open_store(location(tmp_path)).open("INBOX") as mailbox:
            mailbox.expunge([2, 5])
        assert updates(await client.ok("NOOP")) == [b"UID REMOVEFROM (1 5 2 2)"]

    dialogue(location(tmp_path), talk)


def test_too_many_contexts_are_refused_by_name(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        for _ in range(8):
            assert len(await client.ok("SEARCH RETURN (UPDATE) ALL")) == 1
        lines = await client.ok("SEARCH RETURN (UPDATE) ALL")
        assert any(line.startswith(b'* NO [NOUPDATE "') for line in lines)
        await client.ok("SELECT INBOX")
        assert len(await client.ok("SEARCH RETURN (UPDATE) ALL")) == 1

    dialogue(location(tmp_path), talk)


# --- RFC 7377
def found(lines: list[bytes]) -> dict[bytes, bytes]:
    """What was found, by mailbox."""
    return {line.split(b"MAILBOX ")[1].split(b" ")[0]: line.partition(b") UID ")[2] for line in lines}


SOURCES = {
    "IN (SELECTED)": [b"INBOX"],
    "IN (MAILBOXES (INBOX Work/2026 None))": [b"INBOX", b"Work/2026"],
    "IN (MAILBOXES Work)": [],
    "IN (SUBTREE Work)": [b"Work/2026", b"Work/2026/May"],
    "IN (SUBTREE-ONE Work)": [b"Work/2026"],
    "IN (INBOXES SUBTREE Work/2026)": [b"INBOX", b"Work/2026", b"Work/2026/May"],
    "IN (PERSONAL)": [b"INBOX", b"Other", b"Work/2026", b"Work/2026/May"],
    "IN (SUBSCRIBED)": [b"Other"],
}


def test_several_mailboxes_are_searched(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        for name in ("Work", "Work/2026", "Work/2026/May", "Other"):
            await client.ok(f"CREATE {name}")
        await client.ok("SUBSCRIBE Other")
        for name in ("Work/2026", "Work/2026/May", "Other"):
            put(location(tmp_path), name, mail("x"), mail("d"))
        for source, names in SOURCES.items():
            lines = await client.ok(f"ESEARCH {source} RETURN (ALL COUNT) SUBJECT d")
            assert sorted(found(lines)) == names, source
            assert all(item == b"ALL 2 COUNT 1" for item in found(lines).values())
            assert all(b" UIDVALIDITY " in line for line in lines)
        assert found(await client.ok("ESEARCH BODY hello")) == {b"INBOX": b"ALL 1:3"}
        await client.ok("ESEARCH IN (SELECTED) RETURN (SAVE) SUBJECT d")
        assert await client.ok("SEARCH $") == [b"* SEARCH 2"]
        assert found(await client.ok("ESEARCH IN (SELECTED) OR 1 $")) == {b"INBOX": b"ALL 1:2"}
        for wrong in ("RETURN (SAVE) ALL", "RETURN (UPDATE) ALL", "NOT 1:2", "OR UID $ SEEN"):
            assert (await client.command(f"ESEARCH IN (PERSONAL) {wrong}"))[-1].startswith(b"BAD")
        for wrong in ("IN () ALL", "IN (NONSENSE) ALL", "IN (SUBTREE) ALL"):
            assert (await client.command(f"ESEARCH {wrong}"))[-1].startswith(b"BAD")
        await client.ok("UNSELECT")
        assert (await client.command("ESEARCH ALL"))[-1].startswith(b"BAD")
        assert found(await client.ok("ESEARCH IN (INBOXES) SUBJECT d")) == {b"INBOX": b"ALL 2"}

    dialogue(location(tmp_path), talk)
