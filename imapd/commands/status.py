"""STATUS (RFC 9051 section 6.3.11; SIZE of RFC 8438, RECENT of RFC 3501)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pillarbox.imapd.commands import options
from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.commands.options import StatusItem
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import MailboxStatus


def _number(take: Callable[[MailboxStatus], int]) -> StatusItem:
    return lambda session, name, status: b"%d" % take(status)


STATUS_ITEMS: dict[bytes, StatusItem] = {
    b"MESSAGES": _number(lambda status: status.messages),
    b"RECENT": _number(lambda status: status.recent),
    b"UIDNEXT": _number(lambda status: status.uid_next),
    b"UIDVALIDITY": _number(lambda status: status.uid_validity),
    b"UNSEEN": _number(lambda status: status.unseen),
    b"DELETED": _number(lambda status: status.deleted),
    b"SIZE": _number(lambda status: status.size),
}
STATUS_SIZE_ITEMS = (b"SIZE",)


def parse_items(cursor: Cursor) -> tuple[bytes, ...]:
    """ "(" status-att *(SP status-att) ")"."""
    cursor.expect(b"(")
    items = [cursor.word()]
    while not cursor.accept(b")"):
        cursor.space()
        items.append(cursor.word())
    for item in items:
        if item not in options.STATUS_ITEMS:
            raise BadSyntax(f"unknown status item {item.decode('ascii')}")
    return tuple(items)


def status_line(session: Session, name: str, items: tuple[bytes, ...]) -> bytes:
    """The untagged STATUS of one mailbox.  Raises StoreError."""
    status = session.store.status(name, not options.STATUS_SIZE_ITEMS.isdisjoint(items))
    pairs = (item + b" " + options.STATUS_ITEMS[item](session, name, status) for item in items)
    return response.untagged(b"STATUS", session.mailbox_name(name), response.parenthesized(pairs))


def parse(syntax: Syntax) -> Action:
    cursor = syntax.cursor
    cursor.space()
    name = cursor.mailbox()
    cursor.space()
    items = parse_items(cursor)
    cursor.end()

    async def run(session: Session) -> Reply:
        session.send(await patiently(partial(status_line, session, name, items)))
        return Reply("Status completed.")

    return run


CAPABILITIES = ("STATUS=SIZE",)
COMMAND = Command("STATUS", ANY_STATE, parse)
