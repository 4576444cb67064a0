"""Match types (RFC 5228 section 2.7.1, RFC 5231, the regex draft): does one of the values fit one of the keys?

A wildcard expression becomes an expression of `re` that never goes back behind a `*`: since a run of characters
without `*` has a fixed length, its first place is as good as any, and hostile keys and texts take no longer than their
lengths multiplied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.comparators import CASEMAP, COMPARATORS, Comparator
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.regex import Expression, ExpressionError, compile_expression
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, TagRule
from pillarbox.lib.sieve.text import MATCH_VALUES, Texts

TAGS = {
    "is": TagRule(group="match"),
    "contains": TagRule(group="match"),
    "matches": TagRule(group="match"),
    "regex": TagRule("regex", group="match"),
    "count": TagRule("relational", STRING, "match"),
    "value": TagRule("relational", STRING, "match"),
    "comparator": TagRule(value=STRING),
}
"""The tags of every test that compares."""

_RELATIONS: dict[str, Callable[[int], bool]] = {
    "gt": lambda order: order > 0,
    "ge": lambda order: order >= 0,
    "lt": lambda order: order < 0,
    "le": lambda order: order <= 0,
    "eq": lambda order: order == 0,
    "ne": lambda order: order != 0,
}


class Matcher(Protocol):
    """A match type with its comparator and its keys."""

    def match(self, run: Run, values: Sequence[str]) -> bool:
        """Whether one of the values fits one of the keys.  Raises RuntimeFault."""
        ...


@dataclass(frozen=True, slots=True)
class Is:
    """`:is`; `folded` are the keys as the comparator has them, where no variable stands in them."""

    comparator: Comparator
    keys: Texts
    folded: frozenset[str] | None

    def match(self, run: Run, values: Sequence[str]) -> bool:
        keys = self.folded
        if keys is None:
            keys = frozenset(map(self.comparator.fold, self.keys.get(run)))
        for value in values:
            run.spend(len(value) + 1)
            if run.fold(self.comparator, value) in keys:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Contains:
    """`:contains`."""

    comparator: Comparator
    keys: Texts
    folded: tuple[str, ...] | None

    def match(self, run: Run, values: Sequence[str]) -> bool:
        keys = self.folded
        if keys is None:
            keys = tuple(map(self.comparator.fold, self.keys.get(run)))
        for value in values:
            run.spend((len(value) + 1) * len(keys))
            text = run.fold(self.comparator, value)
            for key in keys:
                if key in text:
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Matches:
    """`:matches`; `capture`: whether the script can ask what the wildcards stood for."""

    comparator: Comparator
    keys: Texts
    folded: tuple[str, ...] | None
    capture: bool

    def match(self, run: Run, values: Sequence[str]) -> bool:
        keys = self.folded
        if keys is None:
            keys = tuple(map(self.comparator.fold, self.keys.get(run)))
            run.spend(1000 * sum(map(len, keys)))  # an expression is made of each
        for value in values:
            text = run.fold(self.comparator, value)
            for key in keys:
                run.spend(len(value) + len(key) + 1)
                found = wildcards(key).match(text)
                if found is not None:
                    if self.capture:
                        # Folding keeps the places: the values come from the text as it is.
                        groups = range(min(MATCH_VALUES, found.re.groups + 1))
                        run.match_values = tuple(value[slice(*found.span(group))] for group in groups)
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Regex:
    """`:regex`; `compiled` is None where a variable stands in a key."""

    comparator: Comparator
    keys: Texts
    compiled: tuple[Expression, ...] | None
    capture: bool

    def match(self, run: Run, values: Sequence[str]) -> bool:
        expressions = self.compiled
        if expressions is None:
            try:
                expressions = tuple(compile_expression(key, self.comparator.ignores_case) for key in self.keys.get(run))
            except ExpressionError as error:
                raise RuntimeFault(f"not a regular expression: {error}") from None
        for value in values:
            for expression in expressions:
                if expression.search(value, run.spend):
                    if self.capture:
                        spans = expression.groups(value, run.spend)[:MATCH_VALUES]
                        run.match_values = tuple(value[start:end] if start >= 0 else "" for start, end in spans)
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Value:
    """`:value`."""

    comparator: Comparator
    keys: Texts
    relation: str

    def match(self, run: Run, values: Sequence[str]) -> bool:
        holds, order = _RELATIONS[self.relation], self.comparator.order
        keys = self.keys.get(run)
        for value in values:
            run.spend((len(value) + 1) * len(keys))
            if any(holds(order(value, key)) for key in keys):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Count:
    """`:count`: the number of values is compared."""

    value: Value

    def match(self, run: Run, values: Sequence[str]) -> bool:
        return self.value.match(run, (str(len(values)),))


def matcher(call: Call, keys: str) -> Matcher:
    """The matcher of a test whose keys are in this argument.  Raises SieveError."""
    comparator = CASEMAP
    if call.has("comparator"):
        name = call.constant("comparator")
        found = COMPARATORS.get(name)
        if found is None:
            raise call.error(f'expected a comparator that is available, not "{name}"', "comparator")
        if name == "i;ascii-numeric" and f"comparator-{name}" not in call.scope.extensions:
            raise call.error(f'expected require "comparator-{name}"', "comparator")
        comparator = found
    kind = call.one_of("contains", "matches", "regex", "count", "value") or "is"
    texts = call.texts(keys)
    if kind in ("count", "value"):
        relation = call.constant(kind).lower()
        if relation not in _RELATIONS:
            raise call.error('expected one of "gt", "ge", "lt", "le", "eq", "ne"', kind)
        value = Value(comparator, texts, relation)
        return Count(value) if kind == "count" else value
    if kind != "is" and not comparator.substrings:
        raise call.error(f"expected a comparator that can do ':{kind}', not \"{comparator.name}\"", "comparator")
    constant = texts.constant
    capture = "variables" in call.scope.extensions
    if kind == "regex":
        try:
            fold = comparator.ignores_case
            compiled = None if constant is None else tuple(compile_expression(key, fold) for key in constant)
        except ExpressionError as error:
            raise call.error(f"expected a regular expression: {error}", keys) from None
        return Regex(comparator, texts, compiled, capture)
    folded = None if constant is None else tuple(map(comparator.fold, constant))
    if kind == "contains":
        return Contains(comparator, texts, folded)
    if kind == "matches":
        return Matches(comparator, texts, folded, capture)
    return Is(comparator, texts, None if folded is None else frozenset(folded))


@lru_cache(maxsize=2048)
def wildcards(key: str) -> re.Pattern[str]:
    """The expression for a key with `*`, `?` and backslashes (RFC 5228 section 2.7.1); each wildcard is a group."""
    runs: list[list[str]] = [[]]
    position = 0
    while position < len(key):
        character = key[position]
        position += 1
        if character == "*":
            runs.append([])
        elif character == "?":
            runs[-1].append("(.)")
        else:
            if character == "\\" and position < len(key):
                character = key[position]
                position += 1
            runs[-1].append(re.escape(character))
    written = ["".join(run) for run in runs]
    if len(written) == 1:
        return re.compile(written[0] + r"\Z", re.DOTALL)
    middle = "".join(f"(?>(.*?){run})" for run in written[1:-1])
    return re.compile(f"{written[0]}{middle}(.*){written[-1]}\\Z", re.DOTALL)
