"""CREATE (RFC 9051 section 6.3.4).  A trailing delimiter says that children are to come; the mailbox is made anyway."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import DELIMITER


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.mailbox()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        session.store.create(name.removesuffix(DELIMITER))
        return Reply("Create completed.")

    return run


COMMAND = Command("CREATE", ANY_STATE, parse)
