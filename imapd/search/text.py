"""Substrings in text without regard to case, whatever the charset (RFC 9051 section 6.4.4)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def fold(text: str) -> str:
    """Text as it is compared: case and compatibility forms do not matter."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).casefold()


class Needle:
    """What is looked for."""

    __slots__ = ("_folded",)

    def __init__(self, text: str) -> None:
        self._folded = fold(text)

    def __bool__(self) -> bool:
        return bool(self._folded)

    def is_in(self, text: str) -> bool:
        """Whether it occurs in a text."""
        return self._folded in fold(text)

    def is_in_pieces(self, pieces: Iterable[str]) -> bool:
        """Whether it occurs in a text that comes in pieces; the seams are looked at as well."""
        if not self._folded:
            return True
        seam = ""
        for piece in pieces:
            text = seam + fold(piece)
            if self._folded in text:
                return True
            seam = text[max(0, len(text) - len(self._folded) + 1) :] if len(self._folded) > 1 else ""
        return False
