"""Completing addresses without a domain in a header field (`To: root, Ann <ann>`): the domain is put behind the name.

Promises: nothing else of the text changes, not a blank and not a comment; an entry that cannot be read stays as it is;
work is linear in the text.
"""

from __future__ import annotations

import re

from pillarbox.lib.address.header import Token, tokens

_WORDS = ("atom", "quoted")
# Without these an entry ends at a comma, and an "@" in it is that of an address.
_INTRICATE = re.compile(r'["(\\\[:;]')


def complete_addresses(text: str, domain: str) -> str:
    """The body of To, Cc, From and their like with `@domain` behind every bare name; also of folded text."""
    if not _INTRICATE.search(text) and all("@" in (entry.partition("<")[2] or entry) for entry in text.split(",")):
        return text  # the usual case, at a glance
    pieces: list[str] = []
    done = 0
    for entry in _entries(text):
        place = _bare_end(entry)
        if place:
            pieces += (text[done:place], f"@{domain}")
            done = place
    if not pieces:
        return text
    return "".join((*pieces, text[done:]))


def _entries(text: str) -> list[list[Token]]:
    """The tokens of each entry of the list, without blanks and comments, which may stand anywhere."""
    entries: list[list[Token]] = [[]]
    angle = False
    for token in tokens(text):
        if token.kind == "blank":
            continue
        if token.kind == "special" and token.text in "<>":
            angle = token.text == "<"
        elif token.kind == "special" and token.text == ":" and not angle:
            entries[-1] = []  # what stood here was a group's display name
            continue
        elif token.kind == "special" and (token.text == ";" or (token.text == "," and not angle)):
            angle = False
            entries.append([])
            continue
        entries[-1].append(token)
    return entries


def _bare_end(entry: list[Token]) -> int:
    """Where the name of an address without domain ends; 0 where the entry is no such address."""
    words = [token.text if token.kind == "special" else "" for token in entry]
    if "<" in words:
        opening = words.index("<")
        closing = words.index(">", opening) if ">" in words[opening:] else 0
        if closing != len(entry) - 1:
            return 0
        entry = entry[opening + 1 : closing]
    if not entry or entry[-1].kind not in _WORDS:
        return 0
    for number, token in enumerate(entry):
        # Words and dots by turns; an encoded word is a name and no address.
        fits = token.kind in _WORDS if number % 2 == 0 else (token.kind == "special" and token.text == ".")
        if not fits or token.text.startswith("=?"):
            return 0
    return entry[-1].end
