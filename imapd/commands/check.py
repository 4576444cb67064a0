"""CHECK (RFC 3501 section 6.4.1): a checkpoint; the store keeps nothing back, so there is nothing to do."""

from __future__ import annotations

from pillarbox.imapd.commands.command import Action, Command, Reply, State, Syntax
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    return Reply("Check completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


COMMAND = Command("CHECK", State.SELECTED, parse, until_rev2=True)
