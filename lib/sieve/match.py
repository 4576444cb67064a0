"""Match types (RFC 5228 section 2.7.1, RFC 5231, the regex draft): does one of the values fit one of the keys?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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


F = TypeVar("F")


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


class Pattern(Protocol[F]):
    """A compiled key of `:matches` or `:regex`."""

    @property
    def needles(self) -> tuple[str, ...]:
        """One of these is in every text that fits; none where nothing is known."""

    @property
    def effort(self) -> tuple[int, int]:
        """What it costs to look for the needles: for each character, and beside that."""

    def find(self, text: str, spend: Callable[[int], None]) -> F | None:
        """Whether the text fits: something for `spans`, or None."""

    def spans(self, text: str, found: F, spend: Callable[[int], None]) -> Sequence[tuple[int, int]]:
        """The match and what its wildcards or groups stand for, (-1, -1) for what took no part."""


@dataclass(frozen=True, slots=True)
class Patterns(Generic[F]):
    """`:matches` and `:regex`; `compiled` is None where a variable stands in a key."""

    comparator: Comparator
    keys: Texts
    compiled: tuple[Pattern[F], ...] | None
    compile: Callable[[Run, Comparator, tuple[str, ...]], tuple[Pattern[F], ...]]
    folds: bool
    """Whether it is the text as the comparator has it that is looked at. Folding keeps the places."""
    capture: bool
    """Whether the script can ask what was found."""

    def match(self, run: Run, values: Sequence[str]) -> bool:
        patterns = self.compiled
        if patterns is None:
            patterns = self.compile(run, self.comparator, self.keys.get(run))
        for value in values:
            text = run.fold(self.comparator, value) if self.folds else value
            has = run.search_in(self.comparator, value)
            for pattern in patterns:
                each, fixed = pattern.effort
                run.spend(each * len(text) + fixed)
                needles = pattern.needles
                for needle in needles:
                    if has(needle):
                        break
                else:
                    if needles:
                        continue
                found = pattern.find(text, run.spend)
                if found is None:
                    continue
                if self.capture:
                    spans = pattern.spans(text, found, run.spend)[:MATCH_VALUES]
                    run.match_values = tuple(value[start:end] if start >= 0 else "" for start, end in spans)
                return True
        return False


def _wildcards(run: Run, comparator: Comparator, keys: tuple[str, ...]) -> tuple[Wildcards, ...]:
    run.spend(500 * sum(map(len, keys)))
    return tuple(compile_wildcards(comparator.fold(key)) for key in keys)


def _expressions(run: Run, comparator: Comparator, keys: tuple[str, ...]) -> tuple[Expression, ...]:
    try:
        expressions = tuple(compile_expression(key, comparator.ignores_case) for key in keys)
    except ExpressionError as error:
        raise RuntimeFault(f"not a regular expression: {error}") from None
    run.spend(1000 * sum(expression.size for expression in expressions))
    return expressions


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


class Values(Protocol):
    """What of a message, or around it, a test compares."""

    def of(self, run: Run) -> Sequence[str] | None:
        """The values; None where there is nothing that could fit.  Raises RuntimeFault."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test that compares values with keys."""

    values: Values
    matcher: Matcher

    def holds(self, run: Run) -> bool:
        values = self.values.of(run)
        return values is not None and self.matcher.match(run, values)


def comparison(call: Call, values: Values, keys: str = "keys", *, words: bool = False) -> Comparison:
    """The test that compares these with the keys in this argument.  Raises SieveError."""
    return Comparison(values, matcher(call, keys, words=words))


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
        return Patterns(comparator, texts, compiled, _expressions, False, capture)
    folded = None if constant is None else tuple(map(comparator.fold, constant))
    if kind == "contains":
        return Contains(comparator, texts, folded)
    if kind == "matches":
        wildcards = None if folded is None else tuple(map(compile_wildcards, folded))
        return Patterns(comparator, texts, wildcards, _wildcards, True, capture)
    return Is(comparator, texts, None if folded is None else frozenset(folded))
