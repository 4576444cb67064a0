"""LISTRIGHTS (RFC 4314 section 3.4): the owner has all rights, anybody else may be given each on its own."""

from __future__ import annotations

from pillarbox.imapd.commands.acl import parse_identifier, rights_text
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.acl import told_rights
from pillarbox.lib.store.interface import ALL_RIGHTS, DELIMITER


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    identifier = parse_identifier(cursor)
    cursor.end()

    async def run(session: Session) -> Reply:
        session.store.acl(mailbox)  # only who administers the mailbox may ask
        others = session.store.namespaces()[0]
        owner = mailbox.removeprefix(others).partition(DELIMITER)[0] if others and mailbox.startswith(others) else ""
        if not session.store.annotator(mailbox):
            owner = session.username
        parts = [b"LISTRIGHTS", session.mailbox_name(mailbox), response.astring(identifier.encode("utf-8"))]
        if identifier == owner:
            parts.append(rights_text(ALL_RIGHTS))
        else:
            parts += [b'""', *(letter.encode("ascii") for letter in told_rights(ALL_RIGHTS))]
        session.send(response.untagged(*parts))
        return Reply("Listrights completed.")

    return run


COMMAND = Command("LISTRIGHTS", ANY_STATE, parse)
