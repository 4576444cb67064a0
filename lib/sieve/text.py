"""Strings of a script ready to be used: constant, or with the places that variables fill (RFC 5229 section 3).

`encoded-character` (RFC 5228 section 2.4.2.4) is undone first, then `${...}` is looked for; what looks like neither
stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pillarbox.lib.sieve.run import Run

_ENCODED = re.compile(
    r"\$\{(?:hex:[ \t\r\n]*((?:[0-9a-f]{1,2}(?:[ \t\r\n]+|(?=\})))+)"
    r"|unicode:[ \t\r\n]*((?:[0-9a-f]{1,10}(?:[ \t\r\n]+|(?=\})))+))\}",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$\{((?:[A-Za-z_][A-Za-z0-9_]*\.)*(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,10}))\}")
MATCH_VALUES = 32
"""Values of the last match that are kept (RFC 5229 section 3.2: ${0} to ${9} at least)."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A place in a string: a variable of the script, or a global one."""

    name: str
    shared: bool


Piece: TypeAlias = str | int | Variable
"""What a string is made of: fixed text, the number of a match value, a variable."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `constant` is None where it must be made anew each time."""

    constant: str | None
    pieces: tuple[Piece, ...] = ()

    def get(self, run: Run) -> str:
        """Its value now."""
        if self.constant is not None:
            return self.constant
        return run.expand(self.pieces)


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings; `constant` is None where one of them must be made anew each time.

    `words`: each string is a list itself, divided by blanks (flags, RFC 5232 section 2).
    """

    items: tuple[Text, ...]
    constant: tuple[str, ...] | None
    words: bool = False

    def get(self, run: Run) -> tuple[str, ...]:
        """Their values now."""
        if self.constant is not None:
            return self.constant
        found = tuple(item.get(run) for item in self.items)
        return tuple(word for each in found for word in each.split()) if self.words else found

    def divided(self) -> Texts:
        """The words in these strings."""
        if self.constant is None:
            return Texts(self.items, None, True)
        return texts(tuple(Text(word) for each in self.constant for word in each.split()))


def texts(items: tuple[Text, ...]) -> Texts:
    """The list of these strings."""
    constants = tuple(item.constant for item in items if item.constant is not None)
    return Texts(items, constants if len(constants) == len(items) else None)


def decode_characters(value: str) -> str:
    """`${hex: 40}` and `${unicode: 40}` undone; octets side by side make characters of UTF-8 together.

    Raises ValueError for a code point that Unicode does not have.
    """
    if "${" not in value:
        return value
    out: list[str] = []
    position = 0
    octets = bytearray()

    def flush() -> None:
        if octets:
            out.append(octets.decode("utf-8", "replace"))
            octets.clear()

    for match in _ENCODED.finditer(value):
        if match.start() != position or match[2]:
            flush()
        out.append(value[position : match.start()])
        position = match.end()
        if match[1]:
            octets += bytes(int(word, 16) for word in match[1].split())
            continue
        for word in match[2].split():
            number = int(word, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise ValueError(f"expected a Unicode character, not {word}")
            out.append(chr(number))
    flush()
    out.append(value[position:])
    return "".join(out)


def pieces(value: str) -> list[Piece]:
    """Fixed text, numbers and names of what stands in `${...}`, in turn; names in lower case, with their namespace."""
    found: list[Piece] = []
    position = 0
    for match in _REFERENCE.finditer(value):
        if match.start() > position:
            found.append(value[position : match.start()])
        position = match.end()
        word = match[1].lower()
        found.append(int(word) if word.isdigit() else Variable(word, False))
    if position < len(value) or not found:
        found.append(value[position:])
    return found
