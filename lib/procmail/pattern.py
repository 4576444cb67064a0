"""procmail's regular expressions (procmailrc(5), "Extended regular expressions"), read into a tree.

They look like egrep's and differ: `^` and `$` both match a newline (there is one before and after the text), `^^` is
the start or the end of the text, `\\<` and `\\>` match one character that belongs to no word, `\\/` divides what is
only matched from what is kept in MATCH; a backslash in brackets is a character like any other, braces repeat nothing,
and an operator with nothing to repeat stands for itself.  Letters are equal in both cases, in ASCII, unless `case`.

Promises: linear in the expression; PatternError says what was expected.
Does not: match; see `automaton`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pillarbox.lib.procmail.addressees import MACROS

NEWLINE: Final = 10
NESTING_LIMIT: Final = 100
"""Parentheses within each other: each costs a call."""


class PatternError(ValueError):
    """An expression that cannot be read; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """One octet of these."""

    octets: frozenset[int]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The start or the end of the text."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other; an empty one matches nothing at all, which is everywhere."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part` again: at least once unless `optional`, more than once where `many`."""

    part: Node
    optional: bool
    many: bool


Node = Symbols | Anchor | Sequence | Choice | Repeat

_REPETITIONS: Final = {"*": (True, True), "+": (False, True), "?": (True, False)}
_EVERY: Final = frozenset(range(256))
_WORD: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_ANY: Final = Symbols(_EVERY - {NEWLINE})
_NO_WORD: Final = Symbols(_EVERY - _WORD)
_NEWLINE: Final = Symbols(frozenset({NEWLINE}))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A whole expression: `left` must precede `kept`, which goes to MATCH; without a `\\/` there is only `left`."""

    left: Node
    kept: Node | None = None


def parse_pattern(text: str, *, case: bool = False) -> Pattern:
    """Read an expression (its octets as the characters 0 to 255).  Raises PatternError."""
    for name, replacement in MACROS:
        text = text.replace(name, replacement)
    # A dividing mark counts outside of parentheses; of several the last one divides.
    reader = _Reader(text, case)
    left, kept = reader.whole()
    return Pattern(left, kept)


class _Reader:
    def __init__(self, text: str, case: bool) -> None:
        self._text = text
        self._case = case
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[Node, Node | None]:
        parts: list[Node] = []
        branches: list[Node] = []
        divided = -1
        while self._at < len(self._text):
            if self._text.startswith("\\/", self._at):
                self._at += 2
                divided = len(parts)
            elif self._text[self._at] == "|":
                if divided >= 0:
                    raise PatternError("parentheses around alternatives that stand beside \\/")
                self._at += 1
                branches.append(Sequence(tuple(parts)))
                parts = []
            elif self._text[self._at] == ")":
                raise PatternError('"(" before ")"')
            else:
                parts.append(self._piece())
        if divided >= 0:
            if branches:
                raise PatternError("parentheses around alternatives that stand beside \\/")
            return Sequence(tuple(parts[:divided])), Sequence(tuple(parts[divided:]))
        branches.append(Sequence(tuple(parts)))
        return (branches[0] if len(branches) == 1 else Choice(tuple(branches))), None

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > NESTING_LIMIT:
            raise PatternError(f"at most {NESTING_LIMIT} parentheses within each other")
        branches: list[Node] = []
        parts: list[Node] = []
        while True:
            if self._at >= len(self._text):
                raise PatternError('")" for each "("')
            character = self._text[self._at]
            if character == ")":
                self._at += 1
                break
            if character == "|":
                self._at += 1
                branches.append(Sequence(tuple(parts)))
                parts = []
            elif self._text.startswith("\\/", self._at):
                raise PatternError("\\/ outside of parentheses")
            else:
                parts.append(self._piece())
        self._depth -= 1
        branches.append(Sequence(tuple(parts)))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _piece(self) -> Node:
        """An atom and what repeats it: one operator; a second one stands for itself."""
        atom = self._atom()
        repetition = _REPETITIONS.get(self._text[self._at : self._at + 1])
        if repetition is None or isinstance(atom, Anchor):
            return atom
        self._at += 1
        return Repeat(atom, *repetition)

    def _atom(self) -> Node:
        text = self._text
        character = text[self._at]
        self._at += 1
        if character == "\\" and self._at < len(text):
            character = text[self._at]
            self._at += 1
            return _NO_WORD if character in "<>" else self._literal(character)
        if character == "(":
            return self._group()
        if character == ".":
            return _ANY
        if character == "[":
            return self._bracket()
        if character == "^" and text.startswith("^", self._at):
            self._at += 1
            return Anchor()
        if character in "^$":
            return _NEWLINE
        return self._literal(character)

    def _literal(self, character: str) -> Symbols:
        return Symbols(self._both_cases({ord(character)}))

    def _both_cases(self, octets: set[int]) -> frozenset[int]:
        if self._case:
            return frozenset(octets)
        letters = {octet for octet in octets if 65 <= (octet & ~32) <= 90}
        return frozenset(octets | {octet ^ 32 for octet in letters})

    def _bracket(self) -> Node:
        """A set whose `[` was read; one that is not closed goes to the end."""
        text = self._text
        negated = text.startswith("^", self._at)
        self._at += negated
        octets: set[int] = set()
        previous = -1
        first = True
        while self._at < len(text):
            character = text[self._at]
            self._at += 1
            if character == "]" and not first:
                break
            first = False
            after = text[self._at : self._at + 1]
            if character == "-" and previous >= 0 and after not in ("", "]"):
                octets.update(range(previous, ord(after) + 1))
                continue
            octets.add(ord(character))
            previous = ord(character)
        found = self._both_cases(octets)
        return Symbols(_EVERY - found - {NEWLINE} if negated else found)
