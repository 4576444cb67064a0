"""IDLE (RFC 9051 section 6.3.13): tell of changes as they happen, until the client says DONE."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    await session.idle()
    return Reply("Idle completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


CAPABILITIES = ("IDLE",)
COMMAND = Command("IDLE", ANY_STATE, parse)
