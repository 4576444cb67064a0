"""CONDSTORE and QRESYNC (RFC 7162) over mailboxes with and without modification sequences."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.dialogue import MESSAGE, Client, run


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
        "FETCH 1 (MODSEQ)",
        "SEARCH MODSEQ 1",
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
    ],
)
def test_commands_about_modseqs_are_bad_where_there_are_none(tmp_path: Path, command: str) -> None:
    """Section 3.1.2.2: a mailbox without them says NOMODSEQ when it is selected."""

    async def dialogue() -> None:
        client = Client(f"mbox:{tmp_path}/mail:INBOX={tmp_path}/inbox")
        await client.ok("APPEND INBOX", MESSAGE)
        assert b"[NOMODSEQ]" in b"".join(await client.ok("SELECT INBOX (CONDSTORE)"))
        assert (await client.command(command))[-1].startswith(b"BAD")
        assert await client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)") == []
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "command",
    [
        "SELECT INBOX (QRESYNC (1 1))",
        "SELECT INBOX (NONSENSE)",
        "SELECT INBOX ()x",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1:* (FLAGS) (VANISHED)",
        "FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 9223372036854775808)",
        "UID STORE 1 (UNCHANGEDSINCE) +FLAGS (\\Seen)",
    ],
)
def test_what_is_not_enabled_or_not_the_grammar_is_bad(tmp_path: Path, command: str) -> None:
    async def dialogue() -> None:
        client = Client(f"maildir:{tmp_path}/Maildir")
        await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("SELECT INBOX")
        assert (await client.command(command))[-1].startswith(b"BAD")
        await client.ok("FETCH 1 UID")
        await client.close()

    run(dialogue())
