"""NOOP (RFC 9051 section 6.1.2): what others did is told at its end, as with every command."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    return Reply("NOOP completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


COMMAND = Command("NOOP", ANY_STATE, parse)
