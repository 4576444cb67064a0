"""INPROGRESS (RFC 9585)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pillarbox.imapd.session import context
from tests.imap.dialogue import MESSAGE, Client, location, run


@pytest.mark.parametrize(("command", "silent"), [("SEARCH BODY nothing", False), ("STORE 1:* +FLAGS.SILENT (x)", True)])
def test_a_long_command_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, silent: bool
) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        for _ in range(3):
            await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("SELECT INBOX")
        assert b"INPROGRESS" not in b"".join(await client.ok(command))
        monkeypatch.setattr(context, "PROGRESS_EVERY", 0.0)
        lines = [line for line in await client.ok(command) if b"INPROGRESS" in line]
        found = [re.fullmatch(rb'\* OK \[INPROGRESS \("t6" (\d+) (\d+)\)\] Still at work', line) for line in lines]
        assert found and all(found), lines
        numbers = [(int(each[1]), int(each[2])) for each in found if each]
        assert numbers == sorted(numbers) and numbers[-1][1] == 3
        if silent:
            assert numbers == [(3, 3)]
        await client.close()

    run(dialogue())
