"""The keys of SEARCH, kinds of keys a file each; this is the table and the syntax (RFC 9051 rule search-key).

A module of `MODULES` has KEYS, the parsers of its keys by name, and CAPABILITIES where it brings some.
"""

from __future__ import annotations

from types import ModuleType

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.search import body, dates, flags, fuzzy, headers, logic, modseq, objects, savedates, sets, sizes
from pillarbox.imapd.search.key import Key
from pillarbox.imapd.search.logic import And
from pillarbox.imapd.search.reading import Parser, Reading
from pillarbox.lib.mime.charset import find_codec

MODULES: tuple[ModuleType, ...] = (
    body,
    dates,
    flags,
    fuzzy,
    headers,
    logic,
    modseq,
    objects,
    savedates,
    sets,
    sizes,
)

KEYS: dict[bytes, Parser] = {name: parser for module in MODULES for name, parser in module.KEYS.items()}


def parse_program(cursor: Cursor, charset: str) -> Key:
    """search-program without its options: one or more keys, all of which must match."""
    reading = Reading(cursor, find_codec(charset) or "ascii", KEYS)
    keys = [reading.key()]
    while not cursor.at_end:
        cursor.space()
        keys.append(reading.key())
    return And(tuple(keys))
