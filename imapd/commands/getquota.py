"""GETQUOTA (RFC 9208 section 4.1.1)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.quota import quota_line
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.astring().decode("utf-8", "replace")
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        root = session.store.quota_root(name)
        if root is None:
            raise CommandFailed("There is no such quota root.", "NONEXISTENT")
        session.send(quota_line(root))
        return Reply("Getquota completed.")

    return run


COMMAND = Command("GETQUOTA", ANY_STATE, parse)
