"""Substrings in text without regard to case, whatever the charset (RFC 9051 section 6.4.4)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

_MARKS_LIMIT: Final = 1000
"""Combining characters in a row that are kept together; more stand in no language."""


def fold(text: str) -> str:
    """Text as it is compared: case and compatibility forms do not matter."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).casefold()


def fold_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """As `fold` for a text that comes in pieces; however it is cut, the pieces together are the same."""
    held = ""
    for piece in pieces:
        text = held + piece if held else piece
        end = len(text)
        # Combining characters are put in order among themselves, so what may still be followed by one is held back.
        while end and len(text) - end < _MARKS_LIMIT and _ends_in_mark(text[end - 1]):
            end -= 1
        held = text[end:]
        if end:
            yield fold(text[:end])
    if held:
        yield fold(held)


def _ends_in_mark(character: str) -> bool:
    return not character.isascii() and unicodedata.combining(unicodedata.normalize("NFKD", character)[-1]) != 0


class Needle:
    """What is looked for."""

    __slots__ = ("folded",)

    def __init__(self, text: str) -> None:
        self.folded = fold(text)

    def __bool__(self) -> bool:
        return bool(self.folded)

    def words(self) -> list[Needle]:
        """Its words, each for itself; itself where there are none."""
        return [Needle(word) for word in self.folded.split()] or [self]

    def is_in(self, text: str) -> bool:
        """Whether it occurs in a text."""
        return self.folded in fold(text)

    def is_in_pieces(self, pieces: Iterable[str]) -> bool:
        """Whether it occurs in a text that comes in pieces; the seams are looked at as well."""
        if not self.folded:
            return True
        seam = ""
        for piece in fold_pieces(pieces):
            text = seam + piece
            if self.folded in text:
                return True
            seam = text[max(0, len(text) - len(self.folded) + 1) :] if len(self.folded) > 1 else ""
        return False
