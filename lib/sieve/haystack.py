"""A long text in which many keys are looked for: a hundred rules about one body.

    Haystack(text, many=True).has(key)      # the same as `key in text`

A search costs the length of the text.  So the text's different words are put together once, a fifth or so of it, and
what these do not have the text does not have: of a key each word must be part of a word of the text.  Nothing is
guessed: what the words cannot decide the text does.

Memory: less than that of the text again; while the words are collected a few times `MOST`.
"""

from __future__ import annotations

from typing import Final

LONG: Final = 2048
"""Characters of a text from which on it is worth the trouble."""

MOST: Final = 1024 * 1024
"""Characters of a text beyond which its words are not collected: a list of them all would take too much memory."""

MANY: Final = 30
"""Keys of a script from which on they are looked for among the words: to collect those costs what 20 searches do."""

_SPLIT: Final = bytes(octet if octet >= 0x80 or chr(octet).isalnum() else 0x20 for octet in range(256))
"""Letters and digits, and all octets of other characters, make words; everything else stands between them."""


class Haystack:
    """One text, as the comparator has it."""

    __slots__ = ("_simple", "_words", "text")

    def __init__(self, text: str, *, many: bool) -> None:
        """`many`: there are `MANY` keys."""
        self.text = text
        self._simple = not many or len(text) > MOST
        self._words: bytes | None = None

    def has(self, key: str) -> bool:
        """Whether the key stands in the text."""
        if self._simple:
            return key in self.text
        if self._words is None:
            self._words = b" ".join(set(_words(self.text)))
        words = _words(key)
        for word in words:
            if word not in self._words:
                return False
        # A key of letters only lies within a word of the text, wherever it stands.
        if len(words) == 1 and len(words[0]) == len(key) and key.isascii():
            return True
        return key in self.text


def _words(text: str) -> list[bytes]:
    return text.encode("utf-8", "surrogatepass").translate(_SPLIT).split()
