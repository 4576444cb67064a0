"""SUBSCRIBE (RFC 9051 section 6.3.7)."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import DELIMITER


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.mailbox()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        await patiently(partial(session.store.subscribe, name.removesuffix(DELIMITER), True))
        return Reply("Subscribe completed.")

    return run


COMMAND = Command("SUBSCRIBE", ANY_STATE, parse)
