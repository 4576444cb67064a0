"""Which literal texts a regular expression cannot match without: most content is passed over by a memory search.

Promises: `required(pattern)` is None, or texts (lower case, ASCII) of which `fold_for_search(key)` contains at least
one for every key that the expression matches anywhere.  What is not understood counts as "nothing can be said".
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

SHORTEST = 2
"""A shorter text is found nearly everywhere, so that looking for it saves nothing."""

MOST = 32
"""Alternatives beyond which looking for all of them costs as much as trying the expression."""

Alternatives = frozenset[str]

# What Python's IGNORECASE takes for an ASCII letter although lower() does not make it one: dotless i and dotted I,
# long s, Kelvin sign.
_ODD_LETTERS = str.maketrans({"\u0131": "i", "\u0130": "i", "\u017f": "s", "\u212a": "k"})


def fold_for_search(text: str) -> str:
    """Text in the form in which the literals are looked for."""
    return text.lower() if text.isascii() else text.translate(_ODD_LETTERS).lower()


def required(pattern: re.Pattern[str]) -> Alternatives | None:
    """The texts of which one must be there; None where nothing can be said."""
    try:
        # The parser of `re` has no public name; where it is not to be had the answer is None.
        tree = importlib.import_module("re._parser").parse(pattern.pattern, pattern.flags & ~re.DEBUG)
        found = _sequence(tree)
    except Exception:  # whatever a later Python's parser does: it only saves time
        return None
    return found if found and len(found) <= MOST and min(map(len, found)) >= SHORTEST else None


def _better(one: Alternatives | None, other: Alternatives | None) -> Alternatives | None:
    """Both are required: the one that is rarer, by the length of its shortest text."""
    if not one or not other:
        return one or other
    return max(one, other, key=lambda texts: (min(map(len, texts)), -len(texts)))


def _sequence(items: Iterable[Any]) -> Alternatives | None:
    best: Alternatives | None = None
    run = ""

    def end_run() -> None:
        nonlocal best, run
        if run:
            best = _better(best, frozenset((run,)))
            run = ""

    for operation, argument in _flattened(items):
        name = str(operation)
        if name == "LITERAL" and argument < 128:
            run += chr(argument).lower()
        elif name == "AT":
            continue  # has no width
        else:
            end_run()
            best = _better(best, _one(name, argument))
    end_run()
    return best


def _flattened(items: Iterable[Any]) -> Iterable[Any]:
    """Groups that are there exactly once are part of the sequence."""
    for operation, argument in items:
        if str(operation) == "SUBPATTERN":
            yield from _flattened(argument[3])
        elif str(operation) == "ATOMIC_GROUP":
            yield from _flattened(argument)
        else:
            yield operation, argument


def _one(name: str, argument: Any) -> Alternatives | None:
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, _, repeated = argument
        return _sequence(repeated) if least else None
    if name == "BRANCH":
        texts: set[str] = set()
        for branch in argument[1]:
            of_branch = _sequence(branch)
            if not of_branch:
                return None
            texts |= of_branch
        return frozenset(texts)
    return None  # a class of characters, a look-around, a reference, a condition: anything
