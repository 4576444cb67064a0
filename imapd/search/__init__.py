"""The keys of SEARCH, kinds of keys a file each; this is the table and the syntax (RFC 9051 rule search-key)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.dates import parse_day
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search.body import InBody, InText
from pillarbox.imapd.search.dates import COMPARISONS, InternalDay, SentDay, Within
from pillarbox.imapd.search.flags import FLAG_KEYS, HasKeyword
from pillarbox.imapd.search.headers import FIELDS, InField
from pillarbox.imapd.search.key import Key
from pillarbox.imapd.search.logic import All, And, Not, Or
from pillarbox.imapd.search.sets import InSet
from pillarbox.imapd.search.sizes import Larger, Smaller
from pillarbox.imapd.search.text import Needle
from pillarbox.lib.mime.charset import find_codec

DEPTH_LIMIT = 50
"""Keys inside each other (NOT, OR, parentheses); programs of people stay below ten."""

KEY_LIMIT = 5000
"""Keys of one command."""


@dataclass(slots=True)
class _Reading:
    """What the parsers of keys share."""

    cursor: Cursor
    codec: str
    depth: int = 0
    count: int = 0

    def needle(self) -> Needle:
        """SP astring, in the charset of the command."""
        self.cursor.space()
        try:
            return Needle(self.cursor.astring().decode(self.codec))
        except UnicodeDecodeError:
            raise BadSyntax(f"a text in the charset {self.codec} expected") from None


_Parser = Callable[[_Reading], Key]


def _constant(key: Key) -> _Parser:
    return lambda reading: key


def _field(name: bytes) -> _Parser:
    return lambda reading: InField(name, reading.needle())


def _header(reading: _Reading) -> Key:
    reading.cursor.space()
    return InField(reading.cursor.astring(), reading.needle())


def _keyword(wanted: bool) -> _Parser:
    def parse(reading: _Reading) -> Key:
        reading.cursor.space()
        return HasKeyword(reading.cursor.flag().lower(), wanted)

    return parse


def _internal_day(name: bytes) -> _Parser:
    def parse(reading: _Reading) -> Key:
        reading.cursor.space()
        return InternalDay(COMPARISONS[name], parse_day(reading.cursor))

    return parse


def _sent_day(name: bytes) -> _Parser:
    def parse(reading: _Reading) -> Key:
        reading.cursor.space()
        return SentDay(COMPARISONS[name], parse_day(reading.cursor))

    return parse


def _number(make: Callable[[int], Key]) -> _Parser:
    def parse(reading: _Reading) -> Key:
        reading.cursor.space()
        return make(reading.cursor.number())

    return parse


def _uid(reading: _Reading) -> Key:
    reading.cursor.space()
    return InSet(reading.cursor.sequence_set(), by_uid=True)


def _not(reading: _Reading) -> Key:
    reading.cursor.space()
    return Not(_key(reading))


def _or(reading: _Reading) -> Key:
    reading.cursor.space()
    first = _key(reading)
    reading.cursor.space()
    return Or(first, _key(reading))


KEYS: dict[bytes, _Parser] = {
    b"ALL": _constant(All()),
    b"BODY": lambda reading: InBody(reading.needle()),
    b"HEADER": _header,
    b"KEYWORD": _keyword(True),
    b"LARGER": _number(Larger),
    b"NOT": _not,
    b"OLDER": _number(lambda seconds: Within(seconds, younger=False)),
    b"OR": _or,
    b"SMALLER": _number(Smaller),
    b"TEXT": lambda reading: InText(reading.needle()),
    b"UID": _uid,
    b"UNKEYWORD": _keyword(False),
    b"YOUNGER": _number(lambda seconds: Within(seconds, younger=True)),
    **{name: _constant(key) for name, key in FLAG_KEYS.items()},
    **{name: _field(name) for name in FIELDS},
    **{name: _internal_day(name) for name in COMPARISONS},
    **{b"SENT" + name: _sent_day(name) for name in COMPARISONS},
}


def parse_program(cursor: Cursor, charset: str) -> Key:
    """search-program without its options: one or more keys, all of which must match."""
    reading = _Reading(cursor, find_codec(charset) or "ascii")
    keys = [_key(reading)]
    while not cursor.at_end:
        cursor.space()
        keys.append(_key(reading))
    return And(tuple(keys))


def _key(reading: _Reading) -> Key:
    reading.count += 1
    reading.depth += 1
    if reading.depth > DEPTH_LIMIT or reading.count > KEY_LIMIT:
        raise BadSyntax("search program too complex")
    key = _one_key(reading)
    reading.depth -= 1
    return key


def _one_key(reading: _Reading) -> Key:
    cursor = reading.cursor
    if cursor.accept(b"("):
        keys = [_key(reading)]
        while not cursor.accept(b")"):
            cursor.space()
            keys.append(_key(reading))
        return And(tuple(keys))
    if cursor.at_set:
        return InSet(cursor.sequence_set(), by_uid=False)
    word = cursor.word()
    parser = KEYS.get(word)
    if parser is None:
        raise BadSyntax(f"unknown search key {word.decode('ascii')}")
    return parser(reading)
