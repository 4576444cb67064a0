"""UNSELECT (RFC 9051 section 6.4.2): leave the mailbox and expunge nothing."""

from __future__ import annotations

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    session.select(None)
    return Reply("Unselect completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


CAPABILITIES = ("UNSELECT",)
COMMAND = Command("UNSELECT", State.SELECTED, parse, Report.NOTHING)
