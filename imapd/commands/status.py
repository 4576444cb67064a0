"""STATUS (RFC 9051 section 6.3.11, SIZE of RFC 8438, RECENT of RFC 3501)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MailboxStatus

ITEMS: Final[dict[bytes, Callable[[MailboxStatus], int]]] = {
    b"MESSAGES": lambda status: status.messages,
    b"RECENT": lambda status: status.recent,
    b"UIDNEXT": lambda status: status.uid_next,
    b"UIDVALIDITY": lambda status: status.uid_validity,
    b"UNSEEN": lambda status: status.unseen,
    b"DELETED": lambda status: status.deleted,
    b"SIZE": lambda status: status.size,
}


def parse_items(cursor: Cursor) -> tuple[bytes, ...]:
    """ "(" status-att *(SP status-att) ")"."""
    cursor.expect(b"(")
    items = [cursor.word()]
    while not cursor.accept(b")"):
        cursor.space()
        items.append(cursor.word())
    for item in items:
        if item not in ITEMS:
            raise BadSyntax(f"unknown status item {item.decode('ascii')}")
    return tuple(items)


def status_line(session: Session, name: str, items: tuple[bytes, ...]) -> bytes:
    """The untagged STATUS of one mailbox.  Raises StoreError."""
    status = session.store.status(name, b"SIZE" in items)
    pairs = (b"%b %d" % (item, ITEMS[item](status)) for item in items)
    return response.untagged(b"STATUS", response.mailbox(name), response.parenthesized(pairs))


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    name = cursor.mailbox()
    cursor.space()
    items = parse_items(cursor)
    cursor.end()

    async def run(session: Session) -> Reply:
        session.send(status_line(session, name, items))
        return Reply("Status completed.")

    return run


COMMAND = Command("STATUS", ANY_STATE, parse)
