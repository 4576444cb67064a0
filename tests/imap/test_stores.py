"""The same dialogue over each kind of store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import MESSAGE, Client, run


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_one_life_of_a_mailbox(tmp_path: Path, kind: str) -> None:
    async def dialogue() -> None:
        client = Client(f"{kind}:{tmp_path}/mail")
        assert any(line.endswith(b"INBOX") for line in await client.ok('LIST "" *'))
        for _ in range(3):
            await client.ok("APPEND INBOX (\\Seen)", MESSAGE)
        await client.ok("CREATE Archive")
        await client.ok("SUBSCRIBE Archive")
        assert b"* 3 EXISTS" in await client.ok("SELECT INBOX")
        (line,) = await client.ok("FETCH 2 (UID RFC822.SIZE BODY.PEEK[])")
        assert line == b"* 2 FETCH (UID 2 RFC822.SIZE %d BODY[] {%d}\r\n%b)" % (len(MESSAGE), len(MESSAGE), MESSAGE)
        await client.ok("UID STORE 2 +FLAGS (\\Flagged $Label)")
        assert await client.ok("SEARCH FLAGGED KEYWORD $Label TEXT hello") == [b"* SEARCH 2"]
        await client.ok("COPY 2 Archive")
        assert (await client.ok("MOVE 1 Archive"))[-1] == b"* 1 EXPUNGE"
        await client.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
        assert await client.ok("EXPUNGE") == [b"* 2 EXPUNGE"]
        assert await client.ok("FETCH 1:* UID") == [b"* 1 FETCH (UID 2)"]
        (line,) = await client.ok("STATUS Archive (MESSAGES UIDNEXT)")
        assert line == b"* STATUS Archive (MESSAGES 2 UIDNEXT 3)"
        await client.ok("SELECT Archive")
        (line,) = await client.ok("FETCH 1 FLAGS")
        assert b"\\Flagged" in line and b"$Label" in line
        await client.ok("RENAME Archive Old")
        assert b"* 2 EXISTS" in await client.ok("EXAMINE Old")
        await client.ok("DELETE Old")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_uids_are_the_same_in_the_next_session(tmp_path: Path, kind: str) -> None:
    async def session() -> list[bytes]:
        client = Client(f"{kind}:{tmp_path}/mail")
        lines = await client.ok("SELECT INBOX")
        validity = [line for line in lines if b"UIDVALIDITY" in line]
        uids = await client.ok("FETCH 1:* UID") if b"* 2 EXISTS" in lines else []
        for _ in range(2 - len(uids)):
            await client.ok("APPEND INBOX", MESSAGE)
        result = validity + await client.ok("FETCH 1:* UID")
        await client.close()
        return result

    first = run(session())
    assert run(session()) == first
