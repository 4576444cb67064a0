"""GETMETADATA (RFC 5464 section 4.2)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.metadata import Wanted, choose, entries_of, metadata_line, parse_entries, parse_options
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    """ "GETMETADATA" [SP options] SP mailbox SP entries; options behind the mailbox are understood too."""
    cursor = syntax.cursor
    cursor.space()
    depth, max_size = 0, None
    if early := cursor.peek(b"("):
        depth, max_size = parse_options(cursor)
        cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    if not early and (cursor.peek(b"(DEPTH ") or cursor.peek(b"(MAXSIZE ")):
        depth, max_size = parse_options(cursor)
        cursor.space()
    wanted = Wanted(parse_entries(cursor), depth, max_size)
    cursor.end()

    async def run(session: Session) -> Reply:
        told, longest = choose(entries_of(session, mailbox), wanted)
        if told:
            session.send(metadata_line(session.mailbox_name(mailbox), told))
        return Reply("Getmetadata completed.", f"METADATA LONGENTRIES {longest}" if longest else "")

    return run


COMMAND = Command("GETMETADATA", ANY_STATE, parse)
