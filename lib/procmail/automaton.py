"""Matching by a deterministic automaton that is made as the text needs it: linear, whatever the expression.

The text is fed as symbols: its octets, between marks for its start and its end, between two newlines that are not in
it (so that `^` and `$` match at its edges).  An expression is looked for as procmail does: the match that ends first
counts.  A match that ends with a newline leaves it to the next one.

Promises: memory for STATE_LIMIT states at most; they are forgotten and made anew beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.procmail.pattern import (
    NEWLINE,
    Anchor,
    Choice,
    Node,
    PatternError,
    Repeat,
    Symbols,
)
from pillarbox.lib.procmail.pattern import Sequence as Series

START: Final = 256
END: Final = 257
"""The marks that an Anchor matches and everything else passes over."""

STATE_LIMIT: Final = 200
PLACE_LIMIT: Final = 20000
"""Places of one expression: what `LINEBUF` octets can hold even where every macro is in it."""

_MARKS: Final = frozenset({START, END})


@dataclass(slots=True)
class _Place:
    """A place in an expression: what may come, and where that leads; without `symbols` it leads on at once."""

    symbols: frozenset[int] | None
    to: tuple[int, ...]


class Row:
    """A state: the next one for each symbol, None where it is not known yet."""

    __slots__ = ("accepts", "dead", "next", "places", "skip")

    def __init__(self, places: frozenset[int], accepts: bool) -> None:
        self.places = places
        self.accepts = accepts
        self.dead = not places
        self.next: list[Row | None] = [None] * 258
        self.skip: re.Pattern[bytes] | None = None


class Automaton:
    """One expression.  `floating`: it may begin anywhere, else at the first symbol.  `backward`: for text read so."""

    def __init__(self, node: Node, *, floating: bool, backward: bool = False) -> None:
        """Raises PatternError where the expression is too large."""
        self._places: list[_Place] = [_Place(None, ())]  # 0 is the end: the match is complete
        self._floating = floating
        self._backward = backward
        self._entry = self._build(node, 0)
        self._rows: dict[frozenset[int], Row] = {}
        self._first: Row | None = None
        self.made = 0
        """States made so far, forgotten ones as well."""

    # --- the expression as places

    def _add(self, symbols: frozenset[int] | None, *to: int) -> int:
        if len(self._places) >= PLACE_LIMIT:
            raise PatternError("a shorter expression")
        self._places.append(_Place(symbols, to))
        return len(self._places) - 1

    def _build(self, node: Node, after: int) -> int:
        """Where to begin for `node` and then `after`."""
        match node:
            case Symbols(octets):
                return self._add(octets, after)
            case Anchor():
                return self._add(_MARKS, after)
            case Series(parts):
                for part in parts if self._backward else reversed(parts):
                    after = self._build(part, after)
                return after
            case Choice(branches):
                return self._add(None, *(self._build(branch, after) for branch in branches))
            case Repeat(part, optional, many):
                again = self._add(None, after) if many else after
                entry = self._build(part, again)
                if many:
                    self._places[again].to = (entry, after)
                return self._add(None, entry, after) if optional else entry

    # --- states

    @property
    def first(self) -> Row:
        """The state before the first symbol."""
        if self._first is None:
            self._first = self._row((self._entry,))
        return self._first

    def _row(self, entries: Iterable[int]) -> Row:
        places = self._closure(entries)
        row = self._rows.get(places)
        if row is None:
            if len(self._rows) >= STATE_LIMIT:
                self._forget()
            self.made += 1
            row = self._rows[places] = Row(places, 0 in places)
        return row

    def _forget(self) -> None:
        for row in self._rows.values():
            row.next = [None] * 258
        self._rows.clear()
        if self._first is not None:
            self._rows[self._first.places] = self._first

    def _closure(self, entries: Iterable[int]) -> frozenset[int]:
        found: set[int] = set()
        seen: set[int] = set()
        pending = list(entries)
        while pending:
            number = pending.pop()
            if number in seen:
                continue
            seen.add(number)
            place = self._places[number]
            if number == 0 or place.symbols is not None:
                found.add(number)
            else:
                pending += place.to
        return frozenset(found)

    def step(self, row: Row, symbol: int) -> Row:
        """The state after one more symbol."""
        known = row.next[symbol]
        if known is not None:
            return known
        entries: list[int] = [self._entry] if self._floating else []
        mark = symbol >= START
        for number in row.places:
            place = self._places[number]
            if place.symbols is not None and symbol in place.symbols:
                entries += place.to
            if mark and number:
                entries.append(number)  # a mark is no character: what waits for one goes on waiting
        found = row.next[symbol] = self._row(entries)
        return found

    # --- searching

    def matches(self, text: Iterable[bytes]) -> Iterator[bool]:
        """Walk the text; yields for each match, earliest end first: True, or False where there is no end of them."""
        row = first = self.first
        if first.accepts:
            yield False
            return
        for symbol, data in _symbols(text):
            if symbol >= 0:
                row = self.step(row, symbol)
                if row.accepts:
                    yield True
                    # The newline, or the mark, is there for the next match as well.
                    row = self.step(first, symbol)
                    if row.accepts:
                        yield False
                        return
                continue
            position, length = 0, len(data)
            while position < length:
                if row is first:
                    position = self._skip(data, position)
                    if position >= length:
                        break
                octet = data[position]
                row = row.next[octet] or self.step(row, octet)
                position += 1
                if row.accepts:
                    yield True
                    row = first
                    if octet == NEWLINE:
                        row = self.step(first, octet)
                        if row.accepts:
                            yield False
                            return

    def _skip(self, data: bytes, position: int) -> int:
        """The next place where a match can begin to grow."""
        first = self.first
        if first.skip is None:
            leaving = [octet for octet in range(256) if self.step(first, octet) is not first]
            octets = b"".join(re.escape(bytes((octet,))) for octet in leaving)
            first.skip = re.compile(b"[" + octets + b"]" if octets else b"(?!)", re.DOTALL)
        found = first.skip.search(data, position)
        return found.start() if found else len(data)

    def accepted(self, symbols: Sequence[int]) -> Iterator[int]:
        """After how many symbols there is a match that began with the first (or anywhere, if floating); ascending."""
        row = self.first
        if row.accepts:
            yield 0
        for count, symbol in enumerate(symbols, 1):
            row = row.next[symbol] or self.step(row, symbol)
            if row.accepts:
                yield count
            elif row.dead:
                return


def _symbols(text: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The text with what stands around it: single symbols, and pieces of text beside the symbol -1."""
    yield NEWLINE, b""
    yield START, b""
    for data in text:
        yield -1, data
    yield END, b""
    yield NEWLINE, b""
