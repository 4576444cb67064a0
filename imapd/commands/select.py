"""SELECT (RFC 3501 section 6.3.1)."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Report, Syntax
from pillarbox.imapd.commands.options import SELECT_PARAMETERS, SelectParameter, read_options
from pillarbox.imapd.commands.rev2 import selected_line
from pillarbox.imapd.commands.urlauth import mechanisms_line
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently


async def open_mailbox(
    session: Session, name: str, parameters: tuple[SelectParameter, ...], *, read_only: bool
) -> Reply:
    """Leave the selected mailbox, enter `name` and describe it; on failure none is selected."""
    for parameter in parameters:
        parameter.before(session)
    if session.selected is not None:
        session.select(None)
        # RFC 7162 section 3.2.11: responses before this line belong to the former mailbox.
        session.send(response.status(b"*", b"OK", "Previous mailbox closed.", "CLOSED"))
    session.select(await patiently(partial(session.store.open, name, read_only)))
    session.send_all(session.mailbox.opening())
    session.send(mechanisms_line(session.config))
    if b"IMAP4REV2" in session.enabled:
        session.send(selected_line(session, name))
    for parameter in parameters:
        await parameter.opened(session)
    if session.mailbox.mailbox.read_only:
        return Reply("Examine completed." if read_only else "Select completed.", "READ-ONLY")
    return Reply("Select completed.", "READ-WRITE")


def parse_selection(cursor: Cursor) -> tuple[str, tuple[SelectParameter, ...]]:
    """SP mailbox [select-params]."""
    cursor.space()
    name = cursor.mailbox()
    parameters: dict[bytes, SelectParameter] = {}
    if not cursor.at_end:
        cursor.space()
        parameters = read_options(cursor, SELECT_PARAMETERS, "parameter")
    cursor.end()
    return name, tuple(parameters.values())


def parse(syntax: Syntax) -> Action:
    name, parameters = parse_selection(syntax.cursor)

    async def run(session: Session) -> Reply:
        return await open_mailbox(session, name, parameters, read_only=False)

    return run


COMMAND = Command("SELECT", ANY_STATE, parse, Report.NOTHING)
