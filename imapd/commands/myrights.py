"""MYRIGHTS (RFC 4314 section 3.5)."""

from __future__ import annotations

from pillarbox.imapd.commands.acl import my_rights_line
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()

    async def run(session: Session) -> Reply:
        session.send(my_rights_line(session, mailbox))
        return Reply("Myrights completed.")

    return run


COMMAND = Command("MYRIGHTS", ANY_STATE, parse)
