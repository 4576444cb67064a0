"""The items of FETCH, a file each; this is the table, and the syntax of the list of items (rule fetch-att)."""

from __future__ import annotations

import re

from pillarbox.imapd.fetch.body_section import RFC822, RFC822_HEADER, RFC822_TEXT, parse_body_section
from pillarbox.imapd.fetch.envelope import ENVELOPE
from pillarbox.imapd.fetch.flags import FLAGS
from pillarbox.imapd.fetch.internaldate import INTERNALDATE
from pillarbox.imapd.fetch.item import Item
from pillarbox.imapd.fetch.size import RFC822_SIZE
from pillarbox.imapd.fetch.structure import BODY, BODYSTRUCTURE
from pillarbox.imapd.fetch.uid import UID
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax

ITEMS: dict[bytes, Item] = {
    b"FLAGS": FLAGS,
    b"UID": UID,
    b"INTERNALDATE": INTERNALDATE,
    b"RFC822.SIZE": RFC822_SIZE,
    b"ENVELOPE": ENVELOPE,
    b"BODY": BODY,
    b"BODYSTRUCTURE": BODYSTRUCTURE,
    b"RFC822": RFC822,
    b"RFC822.HEADER": RFC822_HEADER,
    b"RFC822.TEXT": RFC822_TEXT,
}

MACROS: dict[bytes, tuple[Item, ...]] = {
    b"FAST": (FLAGS, INTERNALDATE, RFC822_SIZE),
    b"ALL": (FLAGS, INTERNALDATE, RFC822_SIZE, ENVELOPE),
    b"FULL": (FLAGS, INTERNALDATE, RFC822_SIZE, ENVELOPE, BODY),
}
"""They stand alone, not in a list (RFC 9051 section 6.4.5)."""

ITEM_LIMIT = 1000
"""Items of one command."""

_NAME = re.compile(rb"[A-Za-z0-9.]+")


def _name(cursor: Cursor) -> bytes:
    found = _NAME.match(cursor.data, cursor.position)
    if found is None:
        cursor.fail("a fetch item")
    cursor.position = found.end()
    return found.group().upper()


def parse_items(cursor: Cursor) -> tuple[Item, ...]:
    """The items of a FETCH command, each once."""
    if not cursor.accept(b"("):
        name = _name(cursor)
        return MACROS[name] if name in MACROS else (_item(cursor, name),)
    items = [_item(cursor, _name(cursor))]
    while not cursor.accept(b")"):
        cursor.space()
        items.append(_item(cursor, _name(cursor)))
        if len(items) > ITEM_LIMIT:
            raise BadSyntax("too many fetch items")
    return tuple(dict.fromkeys(items))


def _item(cursor: Cursor, name: bytes) -> Item:
    if name in (b"BODY", b"BODY.PEEK") and cursor.peek(b"["):
        return parse_body_section(cursor, peek=name == b"BODY.PEEK")
    item = ITEMS.get(name)
    if item is None:
        raise BadSyntax(f"unknown fetch item {name.decode('ascii')}")
    return item
