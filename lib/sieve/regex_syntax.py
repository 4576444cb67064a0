"""Extended regular expressions (regex(7)) read into a tree, for the engine in `regex`.

What GNU and POSIX know is there, but for references to groups (`\\1`): with them no engine can promise an end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from pillarbox.lib.sieve.comparators import fold_ascii
from pillarbox.lib.tables.posix_regex import bracket

REPEATS: Final = 255
"""The greatest number in braces (RE_DUP_MAX of POSIX): each repetition is copied."""

NESTING: Final = 50
"""Groups inside each other."""

_INTERVAL = re.compile(r"(\d{1,5})(?:(,)(\d{0,5}))?\}")
_SETS: Final = {"w": "[a-zA-Z0-9_]", "W": "[^a-zA-Z0-9_]", "s": "[ \\t\\n\\r\\f\\v]", "S": "[^ \\t\\n\\r\\f\\v]"}
_PLACES: Final[dict[str, Assertion]] = {
    "b": "edge",
    "B": "no edge",
    "<": "word begins",
    ">": "word ends",
    "`": "begin",
    "'": "end",
}
Assertion: TypeAlias = Literal["begin", "end", "edge", "no edge", "word begins", "word ends"]


class ExpressionError(ValueError):
    """No regular expression; the text says why."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of a set, which is written as `re` writes it."""

    written: str
    fold: bool

    @property
    def literal(self) -> str:
        """The character, in lower case where `fold`, if it can be only one; "" otherwise."""
        if self.written == "." or self.written.startswith("["):
            return ""
        return fold_ascii(self.written[-1]) if self.fold else self.written[-1]

    def has(self, character: str) -> bool:
        """Whether the set has the character."""
        match = _compiled(self.written).match
        found = match(character) is not None
        if not self.fold or not character.isascii():
            return found
        other = match(character.swapcase()) is not None
        return (found and other) if self.written.startswith("[^") else (found or other)


@lru_cache(maxsize=1024)
def _compiled(written: str) -> re.Pattern[str]:
    return re.compile(written, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Again and again; `most` None = without end."""

    item: Tree
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """What a match value is taken from."""

    number: int
    item: Tree


@dataclass(frozen=True, slots=True)
class At:
    """A place, not a character."""

    what: Assertion


Tree: TypeAlias = Characters | Sequence | Choice | Repeat | Group | At


def read(pattern: str, fold: bool) -> tuple[Tree, int]:
    """The tree and the number of groups.  Raises ExpressionError."""
    reader = _Reader(pattern, fold)
    tree = reader.choice(0)
    if reader.position < len(pattern):
        raise ExpressionError("Unmatched ) or \\)")
    return tree, reader.groups


class _Reader:
    def __init__(self, pattern: str, fold: bool) -> None:
        self.pattern = pattern
        self.position = 0
        self.groups = 0
        self._fold = fold

    def choice(self, depth: int) -> Tree:
        if depth > NESTING:
            raise ExpressionError(f"more than {NESTING} groups inside each other")
        items = [self._sequence(depth)]
        while self.pattern.startswith("|", self.position):
            self.position += 1
            items.append(self._sequence(depth))
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _sequence(self, depth: int) -> Tree:
        items: list[Tree] = []
        while self.position < len(self.pattern) and (character := self.pattern[self.position]) not in "|":
            if character == ")" and depth:
                break
            self.position += 1
            items.append(self._repeated(self._atom(character, depth)))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _atom(self, character: str, depth: int) -> Tree:
        if character == "(":
            self.groups += 1
            number = self.groups
            inside = self.choice(depth + 1)
            if not self.pattern.startswith(")", self.position):
                raise ExpressionError("Unmatched ( or \\(")
            self.position += 1
            return Group(number, inside)
        if character == ")":
            raise ExpressionError("Unmatched ) or \\)")
        if character in "*+?":
            raise ExpressionError("Invalid preceding regular expression")
        if character == "^":
            return At("begin")
        if character == "$":
            return At("end")
        if character == ".":
            return Characters(".", False)
        if character == "[":
            try:
                written, self.position = bracket(self.pattern, self.position)
            except ValueError as error:
                raise ExpressionError(str(error)) from None
            return Characters(written, self._fold)
        if character == "\\":
            return self._escaped()
        return Characters(re.escape(character), self._fold)

    def _escaped(self) -> Tree:
        if self.position == len(self.pattern):
            raise ExpressionError("Trailing backslash")
        character = self.pattern[self.position]
        self.position += 1
        if character.isdigit() and character != "0":
            raise ExpressionError("References to groups are not available")
        if character in _PLACES:
            return At(_PLACES[character])
        return Characters(_SETS.get(character, re.escape(character)), self._fold)

    def _repeated(self, item: Tree) -> Tree:
        for _ in range(NESTING):
            character = self.pattern[self.position : self.position + 1]
            if character == "*":
                least, most = 0, None
            elif character == "+":
                least, most = 1, None
            elif character == "?":
                least, most = 0, 1
            elif character == "{" and (found := _INTERVAL.match(self.pattern, self.position + 1)) is not None:
                least = int(found[1])
                most = (int(found[3]) if found[3] else None) if found[2] else least
                if max(least, most or 0) > REPEATS or (most is not None and most < least):
                    raise ExpressionError("Invalid content of \\{\\}")
                self.position = found.end() - 1
            else:
                return item
            self.position += 1
            if isinstance(item, At):
                raise ExpressionError("Invalid preceding regular expression")
            item = Repeat(item, least, most)
        raise ExpressionError(f"more than {NESTING} repetitions of each other")
