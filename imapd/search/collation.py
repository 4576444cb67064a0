"""How texts are compared for SORT and THREAD: i;unicode-casemap (RFC 5051), as RFC 5256 section 2 wants it."""

from __future__ import annotations

import unicodedata


def casemap(text: str) -> str:
    """The form of a text whose order by code points is the order of i;unicode-casemap (that of its UTF-8 octets)."""
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", "".join(map(_titlecase, text)))


def _titlecase(character: str) -> str:
    """The simple titlecase mapping of UnicodeData.txt: one character for one."""
    mapped = character.title()
    return mapped if len(mapped) == 1 else character
