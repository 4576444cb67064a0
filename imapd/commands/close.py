"""CLOSE (RFC 9051 section 6.4.1): expunge without a word, and leave the mailbox."""

from __future__ import annotations

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import DELETED


async def run(session: Session) -> Reply:
    mailbox = session.mailbox.mailbox
    if not mailbox.read_only and "e" in mailbox.rights:
        deleted = [state.uid for state in mailbox.messages if state.flags & DELETED]
        if deleted:
            mailbox.expunge(deleted)
    session.select(None)
    return Reply("Close completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


COMMAND = Command("CLOSE", State.SELECTED, parse, Report.NOTHING)
