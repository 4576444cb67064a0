"""LOGOUT (RFC 9051 section 6.1.3)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Report, Syntax
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    session.bye("Logging out")
    return Reply("Logout completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


COMMAND = Command("LOGOUT", ANY_STATE, parse, Report.NOTHING)
