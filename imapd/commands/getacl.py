"""GETACL (RFC 4314 section 3.3)."""

from __future__ import annotations

from pillarbox.imapd.commands.acl import rights_text
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import ALL_RIGHTS


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()

    async def run(session: Session) -> Reply:
        entries = session.store.acl(mailbox)
        if not session.store.annotator(mailbox):
            entries = {session.username: ALL_RIGHTS, **entries}
        parts = [b"ACL", session.mailbox_name(mailbox)]
        for identifier, rights in entries.items():
            parts += [response.astring(identifier.encode("utf-8")), rights_text(rights)]
        session.send(response.untagged(*parts))
        return Reply("Getacl completed.")

    return run


COMMAND = Command("GETACL", ANY_STATE, parse)
