"""`$name` expansion in parameter values, as postconf(5) defines it.

`$name` and `${name}` stand for another parameter's value, `${name?text}` for `text` where that value is not empty,
`${name:text}` for `text` where it is, `$$` for a dollar sign.  Expansion happens once, when a value is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_REFERENCE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:([?:])([^{}]*))?\})")

NESTING_LIMIT = 100
"""Longest chain of references; a value that refers to itself is found by it."""


def references(text: str) -> tuple[str, ...]:
    """The parameter names that `text` refers to."""
    return tuple(match[2] or match[3] for match in _REFERENCE.finditer(text) if not match[1])


def expand(text: str, value_of: Callable[[str], str], depth: int = 0) -> str:
    """`text` with every reference replaced.

    `value_of` gives the unexpanded value of a name and raises KeyError for an unknown one.
    Raises ValueError for an unknown name or a reference that runs in a circle.
    """
    if "$" not in text:
        return text
    if depth > NESTING_LIMIT:
        raise ValueError(f'the references in "{text}" run in a circle')

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2] or match[3]
        try:
            value = expand(value_of(name), value_of, depth + 1)
        except KeyError:
            raise ValueError(f'"${name}" names no parameter') from None
        if match[4] == "?":
            return expand(match[5], value_of, depth + 1) if value else ""
        if match[4] == ":":
            return "" if value else expand(match[5], value_of, depth + 1)
        return value

    return _REFERENCE.sub(replace, text)
