"""QUOTA (RFC 9208) in dialogues with a session over a Maildir."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.imapd.commands.quota import quota_line, quotaroot_line
from pillarbox.lib.store.interface import QuotaRoot
from tests.imap.dialogue import MESSAGE, Client, location, run


def limited(tmp_path: Path, quota: bytes) -> str:
    """A Maildir with a quota of its own."""
    maildir = tmp_path / "Maildir"
    for name in ("tmp", "new", "cur"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    (maildir / "maildirsize").write_bytes(quota + b"\n0 0\n")
    return location(tmp_path)


def test_the_examples_of_the_rfc_have_this_form() -> None:
    partition = QuotaRoot("!partition/sda4", 104 * 1024, 10923847 * 1024, 0, 0)
    assert quota_line(partition) == b"* QUOTA !partition/sda4 (STORAGE 104 10923847)\r\n"
    alice = QuotaRoot("#user/alice", 0, 0, 42, 1000)
    assert quota_line(alice) == b"* QUOTA #user/alice (MESSAGE 42 1000)\r\n"
    assert quotaroot_line(b"INBOX", [alice, partition]) == b"* QUOTAROOT INBOX #user/alice !partition/sda4\r\n"
    assert quotaroot_line(b"comp.mail.mime", []) == b"* QUOTAROOT comp.mail.mime\r\n"


def test_quota_roots_tell_usage_and_limits(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(limited(tmp_path, b"2048S,3C"))
        await client.ok("APPEND INBOX", MESSAGE)
        (capability,) = await client.ok("CAPABILITY")
        assert {b"QUOTA", b"QUOTA=RES-STORAGE", b"QUOTA=RES-MESSAGE"} <= set(capability.split())
        assert b"QUOTASET" not in capability
        quota = b'* QUOTA "User quota" (STORAGE 1 2 MESSAGE 1 3)'
        assert await client.ok("GETQUOTAROOT INBOX") == [b'* QUOTAROOT INBOX "User quota"', quota]
        assert await client.ok('GETQUOTA "User quota"') == [quota]
        assert (await client.command("GETQUOTA other"))[-1].startswith(b"NO [NONEXISTENT]")
        assert (await client.command("GETQUOTAROOT Nowhere"))[-1].startswith(b"NO [NONEXISTENT]")
        await client.close()

    run(dialogue())


def test_without_a_quota_there_is_no_root(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert await client.ok("GETQUOTAROOT INBOX") == [b"* QUOTAROOT INBOX"]
        await client.close()

    run(dialogue())


def test_an_mbox_has_no_root(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(f"mbox:{tmp_path}/mail")
        assert await client.ok("GETQUOTAROOT INBOX") == [b"* QUOTAROOT INBOX"]
        await client.close()

    run(dialogue())


def test_what_does_not_fit_is_refused_and_leaves_the_count(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(limited(tmp_path, b"2C"))
        await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("APPEND INBOX", MESSAGE)
        assert (await client.command("APPEND INBOX", MESSAGE))[-1].startswith(b"NO [OVERQUOTA]")
        await client.ok("SELECT INBOX")
        await client.ok("CREATE Kept")
        assert (await client.command("COPY 1 Kept"))[-1].startswith(b"NO [OVERQUOTA]")
        assert (await client.ok('GETQUOTA "User quota"')) == [b'* QUOTA "User quota" (MESSAGE 2 2)']
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("arguments", ['"User quota" (STORAGE 512)', '"" (STORAGE 1 MESSAGE 2)', "x ()"])
def test_limits_are_not_the_clients_to_set(tmp_path: Path, arguments: str) -> None:
    async def dialogue() -> None:
        client = Client(limited(tmp_path, b"2C"))
        assert (await client.command(f"SETQUOTA {arguments}"))[-1].startswith(b"NO [NOPERM]")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("line", ["SETQUOTA x", "SETQUOTA x (STORAGE)", "SETQUOTA x (A 1", "GETQUOTA", "GETQUOTAROOT"])
def test_wrong_arguments_are_bad(tmp_path: Path, line: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert (await client.command(line))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_status_tells_what_expunge_would_free(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("APPEND INBOX (\\Deleted)", MESSAGE)
        await client.ok("APPEND INBOX (\\Deleted)", MESSAGE)
        await client.ok("APPEND INBOX", MESSAGE)
        freed = 2 * len(MESSAGE)
        (line,) = await client.ok("STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)")
        assert line == b"* STATUS INBOX (MESSAGES 3 DELETED 2 DELETED-STORAGE %d)" % freed
        await client.close()

    run(dialogue())
