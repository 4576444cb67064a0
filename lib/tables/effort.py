"""How long a search for a regular expression can take at worst: which look-ups need a bound on their time at all.

Python's engine tries alternatives one after the other.  A pattern with d repetitions of open length in a row may need
about n^(d+1) steps for a text of n characters; repetitions inside repetitions, exponentially many.  Most tables ask
short keys of simple patterns, which no bound can be reached with; to set one costs a microsecond.

Promises: `effort(pattern)` is never too small by more than a small factor; what is not understood counts as unbounded.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

STEPS = 1_000_000
"""Steps that need no bound: 10 to 30 ms of processor time."""

UNBOUNDED = 1000
"""A degree that stands for exponential growth."""

_LONG_REPEAT = 32
"""A repetition `{m,n}` of more alternatives is taken for an open one; one of fewer multiplies the steps."""

_INTRICATE = re.compile(r"\)[*+?{]|\\[1-9]|\{|\(\?[^:aimsx!]")
"""What makes a pattern worth reading."""

_REPEATS = frozenset(("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"))
_ONE_CHARACTER = frozenset(("LITERAL", "NOT_LITERAL", "ANY", "ANY_ALL", "IN", "AT", "RANGE", "CATEGORY"))
_GROUPS = frozenset(("ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"))


@dataclass(frozen=True, slots=True)
class Effort:
    """At most about `factor` * n ^ `degree` steps for a text of n characters."""

    factor: int = 1
    degree: int = 0

    def then(self, other: Effort) -> Effort:
        """One pattern behind the other: each way of the first is tried with each of the second."""
        return Effort(self.factor * other.factor, min(self.degree + other.degree, UNBOUNDED))

    def beside(self, other: Effort) -> Effort:
        """One pattern after the other has failed."""
        return Effort(self.factor + other.factor, max(self.degree, other.degree))

    @property
    def choices(self) -> bool:
        """Whether there is more than one way to match."""
        return self.factor > 1 or self.degree > 0


ONE_LOOK = Effort()
"""Of what compares the key once."""


def effort(pattern: re.Pattern[str]) -> Effort:
    """The effort of searching for the pattern."""
    text = pattern.pattern
    if not pattern.flags & re.VERBOSE and not _INTRICATE.search(text):
        # No repetition of groups: counting is enough, and tables of thousands of expressions load quickly.
        return Effort((1 + text.count("|")) << min(text.count("?"), 30), 1 + text.count("*") + text.count("+"))
    try:
        # The parser of `re` has no public name; where it is not to be had every look-up is bounded.
        tree = importlib.import_module("re._parser").parse(text, pattern.flags & ~re.DEBUG)
        return Effort(degree=1).then(_sequence(tree))
    except Exception:  # whatever a later Python's parser does
        return Effort(degree=UNBOUNDED)


def longest(efforts: Iterable[Effort]) -> int:
    """The length of text up to which all of the patterns, tried one after the other, stay within STEPS."""
    total = Effort(0)
    for each in efforts:
        total = total.beside(each)
    if total.degree >= UNBOUNDED or total.factor >= STEPS:
        return 0
    return int((STEPS / max(total.factor, 1)) ** (1 / max(total.degree, 1)))


def _sequence(items: Iterable[Any]) -> Effort:
    total = Effort()
    for operation, argument in items:
        total = total.then(_one(str(operation), argument))
    return total


def _one(name: str, argument: Any) -> Effort:
    if name in _ONE_CHARACTER:
        return Effort()
    if name in _REPEATS:
        return _repeat(*argument)
    if name == "SUBPATTERN":
        return _sequence(argument[3])
    if name in _GROUPS:
        return _sequence(argument[1] if name.startswith("ASSERT") else argument)
    if name == "BRANCH":
        total = Effort(0)
        for branch in argument[1]:
            total = total.beside(_sequence(branch))
        return total
    if name == "GROUPREF":
        return Effort(degree=1)  # compares as many characters as the group has
    return Effort(degree=UNBOUNDED)


def _repeat(least: int, most: int, repeated: Iterable[Any]) -> Effort:
    inner = _sequence(repeated)
    if most <= 1:
        return inner.beside(Effort()) if least != most else inner
    ways = most - least + 1
    if inner.choices:
        # Each repetition has several ways: their numbers multiply.
        if most * max(inner.degree, 1) > _LONG_REPEAT or inner.factor**most > STEPS:
            return Effort(degree=UNBOUNDED)
        return Effort(inner.factor**most * ways, inner.degree * most)
    return Effort(ways) if ways <= _LONG_REPEAT else Effort(degree=1)
