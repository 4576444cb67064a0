"""SELECT (RFC 3501 section 6.3.1)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Report, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session


async def open_mailbox(session: Session, name: str, *, read_only: bool) -> Reply:
    """Leave the selected mailbox, enter `name` and describe it; on failure none is selected."""
    if session.selected is not None:
        session.select(None)
        # RFC 7162 section 3.2.11: responses before this line belong to the former mailbox.
        session.send(response.status(b"*", b"OK", "Previous mailbox closed.", "CLOSED"))
    session.select(session.store.open(name, read_only))
    session.send_all(session.mailbox.opening())
    if session.mailbox.mailbox.read_only:
        return Reply("Examine completed." if read_only else "Select completed.", "READ-ONLY")
    return Reply("Select completed.", "READ-WRITE")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    name = syntax.cursor.mailbox()
    syntax.cursor.end()

    async def run(session: Session) -> Reply:
        return await open_mailbox(session, name, read_only=False)

    return run


COMMAND = Command("SELECT", ANY_STATE, parse, Report.NOTHING)
