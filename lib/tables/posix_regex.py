"""POSIX regular expressions (regex(7)) written as Python's: for `regexp:` tables.

Promises: the translation, compiled with re.ASCII, matches where the POSIX expression matches, or ValueError says what
is wrong.  Extended (the default) and basic syntax as the GNU library reads them, bracket expressions with classes, and
its operators \\w \\b \\< \\> \\`.
Where alternatives of different length match, POSIX takes the longest and Python the first: `$1` may then differ,
whether it matches does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\n\\r\\f\\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
    "word": "a-zA-Z0-9_",
}
"""Character classes of bracket expressions, as Python's sets write them."""

REPEAT_LIMIT = 32767
"""RE_DUP_MAX of the GNU library."""

_GNU = {
    "w": "\\w",
    "W": "\\W",
    "s": "\\s",
    "S": "\\S",
    "b": "\\b",
    "B": "\\B",
    "<": "\\b(?=\\w)",
    ">": "\\b(?<=\\w)",
    "`": "\\A",
    "'": "\\Z",
}
_ASSERTIONS = set("bB<>`'")
_INTERVAL = re.compile(r"(\d*)(,?)(\d*)")

Token = tuple[str, str]
"""(kind, text); kinds: `literal`, `set`, `any`, `start`, `end`, `open`, `close`, `or`, `repeat`, `assert`, `back`."""


def translate(pattern: str, *, extended: bool = True, multiline: bool = False) -> str:
    """The Python spelling of a POSIX expression, for use with re.DOTALL unless `multiline`.  Raises ValueError."""
    out: list[str] = []
    groups: list[int] = []
    atom = -1  # where in `out` the last atom begins; -1 = there is nothing to repeat
    repeated = False
    for kind, text in _tokens(pattern, extended, multiline):
        if kind == "repeat":
            if atom < 0:
                raise ValueError("Invalid preceding regular expression")
            if repeated:
                out[atom:] = ["(?:" + "".join(out[atom:]) + ")"]
            out.append(text)
            repeated = True
            continue
        repeated = False
        if kind == "open":
            groups.append(len(out))
            out.append("(")
            atom = -1
        elif kind == "close" and not groups and extended:
            atom = len(out)
            out.append("\\)")  # an ordinary character then
        elif kind == "close":
            if not groups:
                raise ValueError("Unmatched ) or \\)")
            atom = groups.pop()
            out.append(")")
        elif kind in ("or", "start", "end", "assert"):
            out.append(text)
            atom = -1
        else:
            atom = len(out)
            out.append(text)
    if groups:
        raise ValueError("Unmatched ( or \\(")
    return "".join(out)


def _tokens(pattern: str, extended: bool, multiline: bool) -> Iterator[Token]:
    position, length = 0, len(pattern)
    special = "*+?|(){^$" if extended else "*^$"
    beginning = True  # where basic syntax takes * literally and ^ as an anchor
    end = "$" if multiline else "\\Z"
    while position < length:
        character = pattern[position]
        position += 1
        operator = ""
        if character == "\\":
            if position == length:
                raise ValueError("Trailing backslash")
            character = pattern[position]
            position += 1
            if not extended and character in "(){}|+?":
                operator = character
            elif character.isdigit() and character != "0":
                yield "back", f"(?:\\{character})"
            elif character in _GNU:
                yield ("assert" if character in _ASSERTIONS else "set"), _GNU[character]
            else:
                yield "literal", re.escape(character)
        elif character == "[":
            text, position = bracket(pattern, position, multiline)
            yield "set", text
        elif character == ".":
            yield "any", "."
        elif character in special:
            operator = character
        else:
            yield "literal", re.escape(character)
        if operator:
            if not extended:
                at_end = position == length or pattern.startswith(("\\)", "\\|"), position)
                if (operator == "*" and beginning) or (operator == "^" and not beginning):
                    yield "literal", "\\" + operator
                    beginning = False
                    continue
                if operator == "$" and not at_end:
                    yield "literal", "\\$"
                    beginning = False
                    continue
            if operator == "{":
                interval, position = _interval(pattern, position, extended)
                yield "repeat", interval
            else:
                yield _operator(operator, end)
        beginning = operator in ("(", "|", "^") and not extended
    return


def _operator(character: str, end: str) -> Token:
    if character == "^":
        return "start", "^"
    if character == "$":
        return "end", end
    if character == "(":
        return "open", "("
    if character == ")":
        return "close", ")"
    if character == "|":
        return "or", "|"
    if character == "}":
        return "literal", "\\}"
    return "repeat", character


def _interval(pattern: str, position: int, extended: bool) -> tuple[str, int]:
    """`{m,n}` whose brace was read."""
    match = _INTERVAL.match(pattern, position)
    assert match is not None
    closing = "}" if extended else "\\}"
    end = match.end()
    low, comma, high = match.groups()
    if not pattern.startswith(closing, end) or not (low or comma):
        raise ValueError("Unmatched { or invalid content of \\{\\}")
    least = int(low or "0") if len(low) < 6 else REPEAT_LIMIT + 1
    most = least if not comma else (int(high) if high and len(high) < 6 else REPEAT_LIMIT + 1 if high else least)
    if max(least, most) > REPEAT_LIMIT or least > most:
        raise ValueError("Invalid content of \\{\\}")
    text = f"{{{least}}}" if not comma else f"{{{least},{high and most}}}"
    return text, end + len(closing)


def bracket(pattern: str, position: int, multiline: bool = False) -> tuple[str, int]:
    """A bracket expression whose `[` was read, as a Python set, and the position behind it.  Raises ValueError."""
    items: list[str] = []
    negated = pattern.startswith("^", position)
    position += negated
    first = True
    previous: str | None = None  # a single character that may begin a range
    while True:
        if position >= len(pattern):
            raise ValueError("Unmatched [, [^, [:, [., or [=")
        character = pattern[position]
        if character == "]" and not first:
            break
        first = False
        if character == "[" and pattern[position + 1 : position + 2] in (":", ".", "="):
            kind = pattern[position + 1]
            end = pattern.find(kind + "]", position + 2)
            if end < 0:
                raise ValueError("Unmatched [, [^, [:, [., or [=")
            name = pattern[position + 2 : end]
            position = end + 2
            if kind == ":":
                if name not in CLASSES:
                    raise ValueError("Invalid character class name")
                items.append(CLASSES[name])
                previous = None
                continue
            if len(name) != 1:
                raise ValueError("Invalid collation character")
            character = name
        elif character == "-" and previous is not None and pattern[position + 1 : position + 2] not in ("]", ""):
            high = pattern[position + 1]
            position += 2
            if high == "[" and pattern[position : position + 1] in (".", "="):
                raise ValueError("Invalid range end")
            if high < previous:
                raise ValueError("Invalid range end")
            items[-1] = f"{_escaped(previous)}-{_escaped(high)}"
            previous = None
            continue
        else:
            position += 1
        items.append(_escaped(character))
        previous = character
    content = "".join(items) + ("\\n" if negated and multiline else "")
    return f"[{'^' if negated else ''}{content}]", position + 1


def _escaped(character: str) -> str:
    """A character inside a Python set; everything that is or may become special there is escaped."""
    return character if character.isalnum() else "\\" + character if character.isascii() else character
