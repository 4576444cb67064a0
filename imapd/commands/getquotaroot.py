"""GETQUOTAROOT (RFC 9208 section 4.1.2)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.quota import quota_line, quotaroot_line
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.mailbox()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        roots = session.store.quota_roots(name)
        session.send(quotaroot_line(session.mailbox_name(name), roots))
        for root in roots:
            session.send(quota_line(root))
        return Reply("Getquotaroot completed.")

    return run


COMMAND = Command("GETQUOTAROOT", ANY_STATE, parse)
