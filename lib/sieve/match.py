"""Match types (RFC 5228 section 2.7.1, RFC 5231, the regex draft): does one of the values fit one of the keys?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.comparators import CASEMAP, COMPARATORS, Comparator
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.haystack import LONG
from pillarbox.lib.sieve.regex import Expression, ExpressionError, compile_expression
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, TagRule
from pillarbox.lib.sieve.text import MATCH_VALUES, Texts
from pillarbox.lib.sieve.wildcards import Wildcards, compile_wildcards

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
        run.spend((sum(map(len, values)) + len(values)) * len(keys))
        fold = self.comparator.fold
        for value in values:
            has = fold(value).__contains__ if len(value) < LONG else run.search_in(self.comparator, value)
            for key in keys:
                if has(key):
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Matches:
    """`:matches`; `capture`: whether the script can ask what the wildcards stood for."""

    comparator: Comparator
    keys: Texts
    compiled: tuple[Wildcards, ...] | None
    capture: bool

    def match(self, run: Run, values: Sequence[str]) -> bool:
        expressions = self.compiled
        if expressions is None:
            keys = self.keys.get(run)
            run.spend(500 * sum(map(len, keys)))  # to compile them
            expressions = tuple(compile_wildcards(self.comparator.fold(key)) for key in keys)
        for value in values:
            text, has = run.fold(self.comparator, value), run.search_in(self.comparator, value)
            for expression in expressions:
                run.spend(len(text) + 100 * len(expression.runs))
                if expression.needle and not has(expression.needle):
                    continue
                places = expression.places(text, run.spend)
                if places is not None:
                    if self.capture:
                        # Folding keeps the places: the values come from the text as it is.
                        spans = expression.spans(text, places)[:MATCH_VALUES]
                        run.match_values = tuple(value[start:end] for start, end in spans)
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
            run.spend(1000 * sum(expression.size for expression in expressions))  # to compile them
        for value in values:
            has = run.search_in(self.comparator, value)
            for expression in expressions:
                run.spend(len(value) * len(expression.needles))
                if expression.needles and not any(map(has, expression.needles)):
                    continue
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


def matcher(call: Call, keys: str, *, words: bool = False) -> Matcher:
    """The matcher of a test whose keys are in this argument, where `words` several in a string.  Raises SieveError."""
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
    texts = call.texts(keys).divided() if words else call.texts(keys)
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
        if not call.scope.inclusions.room(sum(expression.size for expression in compiled or ())):
            raise call.error("expected less of regular expressions in one script", keys)
        return Regex(comparator, texts, compiled, capture)
    folded = None if constant is None else tuple(map(comparator.fold, constant))
    if kind == "contains":
        return Contains(comparator, texts, folded)
    if kind == "matches":
        wildcards = None if folded is None else tuple(map(compile_wildcards, folded))
        return Matches(comparator, texts, wildcards, capture)
    return Is(comparator, texts, None if folded is None else frozenset(folded))
