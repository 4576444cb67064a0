"""Rewriting the addresses in a header field (`To: root, Ann <ann@host>`): each is replaced by what a function says.

Promises: nothing else of the text changes, not a blank and not a comment; an entry that cannot be read stays as it is;
a domain that is put behind a bare name is only put there; work is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pillarbox.lib.address.address import unquote_local
from pillarbox.lib.address.header import Token, tokens

_WORDS = ("atom", "quoted")
_FOLD = re.compile(r"\r?\n[ \t]*|\r")
_USUAL_ENTRY = re.compile(
    r"""\s*(?:[^,<>@"(\\\[:;]*<)?[^\s,<>@"(\\\[:;%!=]+@(?:[A-Za-z0-9_-]+\.)+[A-Za-z0-9_-]+>?\s*"""
)


def complete_at_a_glance(text: str) -> bool:
    """Whether every address is seen to have a local part and a full domain, so that its form needs no mending."""
    return all(_USUAL_ENTRY.fullmatch(entry) for entry in text.split(","))


def rewrite_addresses(text: str, rewrite: Callable[[str], str]) -> str:
    """The body of To, Cc, From and their like, folded or not, with `rewrite(address)` in place of each address.

    `rewrite` sees `local@domain`, or `local` where there is no domain; the null address it does not see.  What it
    raises comes out.
    """
    pieces: list[str] = []
    done = 0
    for entry in _entries(text):
        found = _specification(entry)
        if found is None:
            continue
        start, end, address, routed = found
        new = rewrite(address)
        if new == address and not routed:
            continue
        if new.startswith(f"{address}@") and not routed:
            start, new = end, new[len(address) :]
        pieces += (text[done:start], new)
        done = end
    return "".join((*pieces, text[done:])) if pieces else text


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


def _specification(entry: list[Token]) -> tuple[int, int, str, bool] | None:
    """Where the address of an entry stands, what it is, and whether a source route stands before it, which goes
    (RFC 5321 section 3.6.1); None where there is no address."""
    if _index(entry, "<") >= 0:
        opening, closing = _index(entry, "<"), _index(entry, ">")
        if closing != len(entry) - 1:
            return None
        entry = entry[opening + 1 : closing]
    if not entry:
        return None
    first, last = entry[0], entry[-1]
    routed = first.kind == "special" and first.text == "@"
    if routed:
        colon = _index(entry, ":")
        if colon < 0:
            return None
        entry = entry[colon + 1 :]
    at = _index(entry, "@")
    local = entry if at < 0 else entry[:at]
    if not _is_local_part(local) or (at >= 0 and not _is_domain(entry[at + 1 :])):
        return None
    domain = "" if at < 0 else "@" + "".join(token.text for token in entry[at + 1 :])
    return first.end - len(first.text), last.end, _written(local) + domain, routed


def _index(entry: list[Token], special: str) -> int:
    return next((n for n, token in enumerate(entry) if token.kind == "special" and token.text == special), -1)


def _is_local_part(parts: list[Token]) -> bool:
    """Words and dots by turns; an encoded word is a name and no address."""
    if not parts or parts[-1].kind not in _WORDS:
        return False
    for number, token in enumerate(parts):
        fits = token.kind in _WORDS if number % 2 == 0 else (token.kind == "special" and token.text == ".")
        if not fits or token.text.startswith("=?"):
            return False
    return True


def _is_domain(parts: list[Token]) -> bool:
    """Labels and dots by turns, perhaps a dot at the end; or a literal."""
    if len(parts) == 1 and parts[0].kind == "literal":
        return True
    return bool(parts) and all(
        token.kind == "atom" if number % 2 == 0 else (token.kind == "special" and token.text == ".")
        for number, token in enumerate(parts)
    )


def _written(parts: list[Token]) -> str:
    """The local part in its usual form: where a word is quoted among others, all of it becomes one quoted string."""
    if not any(token.kind == "quoted" for token in parts):
        return "".join(token.text for token in parts)
    if len(parts) == 1:
        return _FOLD.sub("", parts[0].text)
    plain = "".join(unquote_local(_FOLD.sub("", token.text)) for token in parts)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
