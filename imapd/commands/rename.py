"""RENAME (RFC 9051 section 6.3.6)."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import DELIMITER


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    old = cursor.mailbox()
    cursor.space()
    new = cursor.mailbox()
    cursor.end()

    async def run(session: Session) -> Reply:
        selected = session.selected
        concerned = selected is not None and f"{selected.mailbox.name}{DELIMITER}".startswith(old + DELIMITER)
        if concerned and "x" in session.store.rights(old):
            session.select(None)  # the open view belongs to the old name
        await patiently(partial(session.store.rename, old, new.removesuffix(DELIMITER)))
        return Reply("Rename completed.")

    return run


COMMAND = Command("RENAME", ANY_STATE, parse)
