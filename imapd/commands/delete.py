"""DELETE (RFC 9051 section 6.3.5)."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.mailbox()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        selected = session.selected
        if selected is not None and selected.mailbox.name == name and "x" in session.store.rights(name):
            session.select(None)  # nothing may be told of a mailbox that is no more
        await patiently(partial(session.store.delete, name))
        return Reply("Delete completed.")

    return run


COMMAND = Command("DELETE", ANY_STATE, parse)
