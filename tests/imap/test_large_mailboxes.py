"""What a session does often costs no Python object per message: mailboxes have a hundred thousand of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.store.index.columns import ColumnSnapshot
from tests.imap.dialogue import MESSAGE, Client, location, run


def test_no_command_about_the_mailbox_makes_a_row_for_each_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SELECT, NOOP, STATUS, EXPUNGE, CLOSE, resynchronization: rows are made for the messages concerned alone."""

    async def dialogue() -> None:
        client, other = Client(location(tmp_path)), Client(location(tmp_path))
        for _ in range(20):
            await client.ok("APPEND INBOX", MESSAGE)
        asked: list[int] = []
        make = ColumnSnapshot.__getitem__

        def counted(self: ColumnSnapshot, index: int) -> object:
            asked.append(index)
            return make(self, index)

        monkeypatch.setattr(ColumnSnapshot, "__getitem__", counted)
        monkeypatch.setattr(ColumnSnapshot, "__iter__", None)
        await client.ok("ENABLE QRESYNC")
        lines = b"".join(await client.ok("SELECT INBOX"))
        modseq, validity = (
            lines.partition(code)[2].partition(b"]")[0].decode() for code in (b"HIGHESTMODSEQ ", b"UIDVALIDITY ")
        )
        await other.ok("SELECT INBOX")
        await other.ok("UID STORE 5 +FLAGS.SILENT (\\Deleted)")
        await other.ok("EXPUNGE")
        assert b"* VANISHED 5" in await client.ok("NOOP")
        await client.ok("STATUS INBOX (MESSAGES UNSEEN DELETED HIGHESTMODSEQ)")
        await client.ok("UID STORE 6 +FLAGS.SILENT (\\Deleted)")
        await client.ok("UID EXPUNGE 1:*")
        await client.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:20))")
        await client.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")
        await client.ok("CLOSE")
        assert len(asked) < 10, asked
        await client.close()
        await other.close()

    run(dialogue())
