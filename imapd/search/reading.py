"""Reading a search program (RFC 9051 rule search-key): what the parsers of the keys share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.search.key import Key
from pillarbox.lib.store.text.fold import Needle

DEPTH_LIMIT = 50
"""Keys inside each other (NOT, OR, parentheses); programs of people stay below ten."""

KEY_LIMIT = 5000
"""Keys of one command."""


@dataclass(slots=True)
class Reading:
    """A search program under way."""

    cursor: Cursor
    codec: str
    keys: Mapping[bytes, Parser]
    """The parsers by the names of their keys."""
    depth: int = 0
    count: int = 0

    def needle(self) -> Needle:
        """SP astring, in the charset of the command."""
        self.cursor.space()
        try:
            return Needle(self.cursor.astring().decode(self.codec))
        except UnicodeDecodeError:
            raise BadSyntax(f"a text in the charset {self.codec} expected") from None

    def key(self) -> Key:
        """The key that begins here, with all that is in it."""
        self.count += 1
        self.depth += 1
        if self.depth > DEPTH_LIMIT or self.count > KEY_LIMIT:
            raise BadSyntax("search program too complex")
        key = self._one_key()
        self.depth -= 1
        return key

    def _one_key(self) -> Key:
        cursor = self.cursor
        if cursor.peek(b"("):
            return self.keys[b"("](self)
        if cursor.at_set:
            return self.keys[b""](self)
        word = cursor.word()
        parser = self.keys.get(word)
        if parser is None:
            raise BadSyntax(f"unknown search key {word.decode('ascii')}")
        return parser(self)


Parser: TypeAlias = Callable[[Reading], Key]
"""Reads what follows a key's name; under `(` and the empty name, a group and a sequence set from their beginning."""


def constant(key: Key) -> Parser:
    """A key without arguments."""
    return lambda reading: key


def number(make: Callable[[int], Key]) -> Parser:
    """A key with a number."""

    def parse(reading: Reading) -> Key:
        reading.cursor.space()
        return make(reading.cursor.number())

    return parse
