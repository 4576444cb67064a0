"""The grammar of table names that carry their content: `static:{text}`, `inline:{key=value, ...}`, lists of tables.

Braces nest; blanks and commas separate items outside them; an item in braces may contain both.
"""

from __future__ import annotations

_SEPARATORS = " ,\t\r\n"


def braced(text: str) -> str | None:
    """What stands inside one pair of braces that encloses all of `text`, without outer blanks; else None."""
    text = text.strip(_SEPARATORS)
    if not text.startswith("{") or not text.endswith("}"):
        return None
    depth = 0
    for position, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[1:-1].strip(" \t\r\n") if position == len(text) - 1 else None
    return None


def split_items(text: str) -> list[str]:
    """The items of a list; one in braces keeps them.  Raises ValueError where braces do not match."""
    items: list[str] = []
    start = -1
    depth = 0
    for position, character in enumerate(text):
        if not depth and character in _SEPARATORS:
            if start >= 0:
                items.append(text[start:position])
                start = -1
            continue
        if start < 0:
            start = position
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth < 0:
                raise ValueError('unexpected "}"')
    if depth:
        raise ValueError('missing "}"')
    if start >= 0:
        items.append(text[start:])
    return items


def unbraced(item: str) -> str:
    """An item without its braces, where it has them."""
    inside = braced(item)
    return item if inside is None else inside
