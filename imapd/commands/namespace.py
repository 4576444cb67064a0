"""NAMESPACE (RFC 9051 section 6.3.10): the user's own without a prefix, those of other users, and the public ones."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session


def _space(prefix: str) -> bytes:
    return response.parenthesized([b'("%b" "/")' % prefix.encode("ascii")]) if prefix else response.NIL


async def run(session: Session) -> Reply:
    others, public = session.store.namespaces()
    session.send(response.untagged(b'NAMESPACE (("" "/"))', _space(others), _space(public)))
    return Reply("Namespace completed.")


def parse(syntax: Syntax) -> Action:
    syntax.cursor.end()
    return run


CAPABILITIES = ("NAMESPACE",)
COMMAND = Command("NAMESPACE", ANY_STATE, parse)
