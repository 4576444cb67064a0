"""CAPABILITY (RFC 9051 section 6.1.1)."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.capabilities import session_capabilities
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    session.send(response.untagged(b"CAPABILITY", session_capabilities(session.config).encode("ascii")))
    return Reply("Capability completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


COMMAND = Command("CAPABILITY", ANY_STATE, parse)
