"""COMPRESS (RFC 4978): DEFLATE from the answer on, in both directions."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.session.context import Session


def parse(syntax: Syntax) -> Action:
    syntax.cursor.space()
    if syntax.cursor.word() != b"DEFLATE":
        raise BadSyntax("DEFLATE is the only kind of compression")
    syntax.cursor.end()
    return run


async def run(session: Session) -> Reply:
    if session.compressed:
        raise CommandFailed("COMPRESS is active already.", "COMPRESSIONACTIVE")
    return Reply("DEFLATE active.", afterwards=lambda session: session.compress())


CAPABILITIES = ("COMPRESS=DEFLATE",)
COMMAND = Command("COMPRESS", ANY_STATE, parse)
