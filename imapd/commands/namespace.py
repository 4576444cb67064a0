"""NAMESPACE (RFC 9051 section 6.3.10): one personal name space without a prefix."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session


async def run(session: Session) -> Reply:
    session.send(response.untagged(b'NAMESPACE (("" "/")) NIL NIL'))
    return Reply("Namespace completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


CAPABILITIES = ("NAMESPACE",)
COMMAND = Command("NAMESPACE", ANY_STATE, parse)
