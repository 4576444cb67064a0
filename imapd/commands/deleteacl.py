"""DELETEACL (RFC 4314 section 3.2); an identifier that is not there is none to remove."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.acl import parse_identifier
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    identifier = parse_identifier(cursor)
    cursor.end()

    async def run(session: Session) -> Reply:
        await patiently(partial(session.store.set_acl, mailbox, identifier, "", ""))
        return Reply("Deleteacl completed.")

    return run


COMMAND = Command("DELETEACL", ANY_STATE, parse)
