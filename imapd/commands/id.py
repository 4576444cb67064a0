"""ID (RFC 2971): who are you, and who am I.  No version is told."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session

PAIR_LIMIT = 30
"""Section 3.3: no more than 30 field-value pairs."""

SERVER = response.untagged(b'ID ("name" "Pillarbox")')


def parse_parameters(cursor: Cursor) -> dict[bytes, bytes | None]:
    """id-params-list: what the client says about itself."""
    cursor.space()
    if cursor.accept(b"NIL"):
        return {}
    cursor.expect(b"(")
    pairs: dict[bytes, bytes | None] = {}
    while not cursor.accept(b")"):
        if pairs:
            cursor.space()
        name = cursor.string()
        cursor.space()
        pairs[name] = cursor.nstring()
        if len(pairs) > PAIR_LIMIT:
            cursor.fail("at most 30 fields")
    cursor.end()
    return pairs


async def run(session: Session) -> Reply:
    session.send(SERVER)
    return Reply("ID completed.")


def parse(syntax: Syntax) -> Action:
    parse_parameters(syntax.cursor)
    return run


CAPABILITIES = ("ID",)
COMMAND = Command("ID", ANY_STATE, parse)
