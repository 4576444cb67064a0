"""ENABLE (RFC 5161): capabilities that must be asked for.  There is none yet; unknown ones are passed over."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    session.send(response.untagged(b"ENABLED"))
    return Reply("Enabled.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    syntax.cursor.word()
    while not syntax.cursor.at_end:
        syntax.cursor.space()
        syntax.cursor.word()
    return run


COMMAND = Command("ENABLE", ANY_STATE, parse)
