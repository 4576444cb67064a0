"""The items of FETCH, a file each; this is the table, and the syntax of the list of items (rule fetch-att).

A module of `MODULES` has ITEMS, the parsers of its items by name, and CAPABILITIES where it brings some.
"""

from __future__ import annotations

import re
from types import ModuleType

from pillarbox.imapd.fetch import (
    binary,
    body_section,
    envelope,
    flags,
    internaldate,
    modseq,
    object_ids,
    preview,
    savedate,
    size,
    structure,
    uid,
)
from pillarbox.imapd.fetch.envelope import ENVELOPE
from pillarbox.imapd.fetch.filling import fill as fill
from pillarbox.imapd.fetch.flags import FLAGS
from pillarbox.imapd.fetch.internaldate import INTERNALDATE
from pillarbox.imapd.fetch.item import Item, ItemParser
from pillarbox.imapd.fetch.size import RFC822_SIZE
from pillarbox.imapd.fetch.structure import BODY
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax

MODULES: tuple[ModuleType, ...] = (
    binary,
    body_section,
    envelope,
    flags,
    internaldate,
    modseq,
    object_ids,
    preview,
    savedate,
    size,
    structure,
    uid,
)

ITEMS: dict[bytes, ItemParser] = {name: parser for module in MODULES for name, parser in module.ITEMS.items()}

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
    parser = ITEMS.get(name)
    if parser is None:
        raise BadSyntax(f"unknown fetch item {name.decode('ascii')}")
    return parser(cursor)
