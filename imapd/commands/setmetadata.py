"""SETMETADATA (RFC 5464 section 4.3)."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.metadata import NAMES_LIMIT, parse_entry
from pillarbox.imapd.commands.special_use import parse_uses, remember_uses
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store import metadata
from pillarbox.lib.store.apart import patiently


def parse(syntax: Syntax) -> Action:
    """ "SETMETADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")"."""
    cursor = syntax.cursor
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    cursor.expect(b"(")
    changes: dict[str, bytes | None] = {}
    while not changes or not cursor.accept(b")"):
        if changes:
            cursor.space()
        name = parse_entry(cursor)
        if name.count("/") < 2:
            raise BadSyntax("an entry is /shared/NAME or /private/NAME")
        cursor.space()
        changes[name] = cursor.nstring()
        if len(changes) > NAMES_LIMIT:
            raise BadSyntax("too many entries")
    cursor.end()

    async def run(session: Session) -> Reply:
        if (uses := changes.get(metadata.SPECIAL_USE)) is not None and mailbox:
            changes[metadata.SPECIAL_USE] = b" ".join(parse_uses(uses.split()))
        await patiently(partial(metadata.change, session.store, mailbox, changes))
        if uses is not None:
            await patiently(partial(remember_uses, session.store))
        return Reply("Setmetadata completed.")

    return run


COMMAND = Command("SETMETADATA", ANY_STATE, parse)
