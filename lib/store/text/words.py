"""Folded texts as sets of words, and what a needle means for the words.

A word is what stands between blanks and some common punctuation, of any length and in any script.  A needle without
such separators occurs in a text exactly if it occurs in one of the words; one with separators only if its first word
ends a word, its last begins one, and those between are words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SEPARATORS: Final = "\0.,;:<>\"'/=()&!?*-_#[]|%@+{}\\"
"""Beside what `str.split` takes for blank."""
_TO_BLANK: Final = dict.fromkeys(map(ord, _SEPARATORS), " ")
_ASCII_TO_BLANK: Final = str.maketrans(_TO_BLANK)

WORD_END: Final = b"\n"
"""Stands between words in a list of them; no word has it in it."""


def _blanked(text: str) -> str:
    if text.isascii():
        return text.translate(_ASCII_TO_BLANK)
    for separator in _SEPARATORS:  # translate is slow on other text
        text = text.replace(separator, " ")
    return text


def encode(word: str) -> bytes:
    """A word as it stands in the index."""
    return word.encode("utf-8", "surrogatepass")


class WordSet:
    """The words of the texts of one message; `room` is how many characters it takes."""

    def __init__(self, room: int) -> None:
        self.words: set[str] = set()
        self.overflown = False
        """There was more than there is room for: the set says nothing."""
        self._room = room

    def add(self, pieces: Iterable[str]) -> None:
        """Take in a folded text that comes in pieces."""
        begun = ""  # the word that the piece before broke off in
        for piece in pieces:
            self._room -= len(piece)
            if self._room < 0:
                self.overflown = True
                return
            text = _blanked(begun + piece if begun else piece)
            words = text.split()
            begun = words.pop() if words and not text[-1:].isspace() else ""
            self.words.update(words)
        if begun:
            self.words.add(begun)


def patterns(folded: str) -> list[bytes]:
    """What a list of words (each with WORD_END before and behind it) must have in it for the needle to occur.

    Empty where the needle has no word in it: it may be anywhere.
    """
    text = _blanked(folded)
    words = [encode(word) for word in text.split()]
    if not words:
        return []
    found = []
    for number, word in enumerate(words):
        begins = number > 0 or text[0].isspace()
        ends = number < len(words) - 1 or text[-1].isspace()
        found.append((WORD_END if begins else b"") + word + (WORD_END if ends else b""))
    return found
