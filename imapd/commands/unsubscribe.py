"""UNSUBSCRIBE (RFC 9051 section 6.3.8)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import DELIMITER


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.mailbox()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        session.store.subscribe(name.removesuffix(DELIMITER), False)
        return Reply("Unsubscribe completed.")

    return run


COMMAND = Command("UNSUBSCRIBE", ANY_STATE, parse)
