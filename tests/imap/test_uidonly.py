"""UIDONLY (RFC 9586)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import MESSAGE, Client, location, run


async def enabled(tmp_path: Path, *more: str) -> Client:
    client = Client(location(tmp_path))
    for _ in range(4):
        await client.ok("APPEND INBOX", MESSAGE)
    await client.ok("SELECT INBOX")
    await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await client.ok("EXPUNGE")
    assert await client.ok("ENABLE UIDONLY") == [b"* ENABLED UIDONLY"]
    for word in more:
        await client.ok(f"ENABLE {word}")
    assert not any(b"[UNSEEN" in line for line in await client.ok("SELECT INBOX"))
    return client


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1 FLAGS",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 INBOX",
        "MOVE 1 INBOX",
        "SEARCH ALL",
        "SORT (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID SEARCH 1:*",
        "UID SEARCH NOT (OR SEEN 2)",
        "UID SORT (DATE) UTF-8 1",
    ],
)
def test_numbers_are_bad(tmp_path: Path, command: str) -> None:
    """Section 3."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        assert (await client.command(command))[-1].startswith(b"BAD [UIDREQUIRED]")
        await client.close()

    run(dialogue())


def test_a_message_is_replaced_by_its_uid(tmp_path: Path) -> None:
    """REPLACE, whose message comes as it is read, is held to the same."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        assert (await client.command("REPLACE 1 INBOX", MESSAGE))[-1].startswith(b"BAD [UIDREQUIRED]")
        assert b"* VANISHED 2" in await client.ok("UID REPLACE 2 INBOX", MESSAGE)
        await client.close()

    run(dialogue())


def test_a_sample_of_numbers_is_bad_in_select(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await enabled(tmp_path, "QRESYNC")
        lines = await client.command("SELECT INBOX (QRESYNC (1 1 1:9 (1 2)))")
        assert lines[-1].startswith(b"BAD [UIDREQUIRED]")
        await client.ok("SELECT INBOX (QRESYNC (1 1 1:9))")
        await client.close()

    run(dialogue())


def test_fetch_and_store_are_answered_with_uidfetch(tmp_path: Path) -> None:
    """Section 3.4: the UID stands in front, in place of the number, and not among the items."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        assert await client.ok("UID FETCH 1:3 (FLAGS)") == [b"* 2 UIDFETCH (FLAGS ())", b"* 3 UIDFETCH (FLAGS ())"]
        assert await client.ok("UID FETCH 4 (RFC822.SIZE)") == [b"* 4 UIDFETCH (RFC822.SIZE %d)" % len(MESSAGE)]
        assert await client.ok("UID STORE 4 FLAGS (\\Seen)") == [b"* 4 UIDFETCH (FLAGS (\\Seen))"]
        (line,) = await client.ok("UID FETCH 3 (BODY[TEXT])")
        assert line.startswith(b"* 3 UIDFETCH (BODY[TEXT] {") and line.endswith(b" FLAGS (\\Seen))")
        assert await client.ok("UID SEARCH UID 1:3 SEEN") == [b"* SEARCH 3"]
        await client.close()

    run(dialogue())


def test_expunges_are_told_with_vanished(tmp_path: Path) -> None:
    """Section 3.5: also without QRESYNC; EXPUNGE has no numbers and may be used."""

    async def dialogue() -> None:
        client = await enabled(tmp_path)
        await client.ok("CREATE Other")
        await client.ok("UID STORE 2,4 +FLAGS.SILENT (\\Deleted)")
        assert await client.ok("EXPUNGE") == [b"* VANISHED 2,4"]
        lines = await client.ok("UID MOVE 3 Other")
        assert lines[-1] == b"* VANISHED 3"
        await client.close()

    run(dialogue())
