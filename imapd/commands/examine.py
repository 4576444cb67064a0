"""EXAMINE (RFC 9051 section 6.3.3): SELECT without the right to change anything."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Report, Syntax
from pillarbox.imapd.commands.select import open_mailbox, parse_selection
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    name, parameters = parse_selection(syntax.cursor)

    async def run(session: Session) -> Reply:
        return await open_mailbox(session, name, parameters, read_only=True)

    return run


COMMAND = Command("EXAMINE", ANY_STATE, parse, Report.NOTHING)
