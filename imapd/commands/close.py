"""CLOSE (RFC 9051 section 6.4.1): expunge without a word, and leave the mailbox."""

from __future__ import annotations

from functools import partial

from pillarbox.imapd.commands.command import Action, Command, Reply, Report, State, Syntax
from pillarbox.imapd.commands.expunge import deleted_uids
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently


async def run(session: Session) -> Reply:
    mailbox = session.mailbox.mailbox
    if not mailbox.read_only and "e" in mailbox.rights:
        deleted = deleted_uids(mailbox)
        if deleted:
            await patiently(partial(mailbox.expunge, deleted))
    session.select(None)
    return Reply("Close completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


COMMAND = Command("CLOSE", State.SELECTED, parse, Report.NOTHING)
