"""SETQUOTA (RFC 9208 section 4.1.3): read, and refused.

Limits are the administrator's: they stand in the configuration and beside the accounts (docs/quota.md), where no mail
session can reach.  QUOTASET is therefore not announced; clients that try all the same get a clear answer.
"""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    """ "SETQUOTA" SP quota-root-name SP "(" [resource SP limit *(SP resource SP limit)] ")"."""
    cursor = syntax.cursor
    cursor.space()
    cursor.astring()
    cursor.space()
    cursor.expect(b"(")
    first = True
    while not cursor.accept(b")"):
        if not first:
            cursor.space()
        first = False
        cursor.word()
        cursor.space()
        cursor.number()
    cursor.end()
    return run


async def run(session: Session) -> Reply:
    raise CommandFailed("Quotas are set by the administrator (pillarbox user quota).", "NOPERM")


COMMAND = Command("SETQUOTA", ANY_STATE, parse)
