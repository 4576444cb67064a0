"""Ordered rules with `if ... endif` blocks: what regexp, pcre and cidr tables have in common.

The first rule that matches the key gives the result.  A rule that could not be read matches nobody knows what: a
look-up that gets to it fails, so that mail waits until the rule is mended; rules before it go on working.  So does a
look-up in which expressions use up the processor time that it may take.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pillarbox.lib.log import log
from pillarbox.lib.system.processor_time import NotMainThread, TookTooLong, within
from pillarbox.lib.tables.effort import ONE_LOOK, Effort, longest
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.lines import LogicalLine, encode, logical_lines
from pillarbox.lib.tables.names import braced, split_items
from pillarbox.lib.tables.table import Options, Table
from pillarbox.lib.tables.watch import FileTable

K = TypeVar("K")

Apply = Callable[[K], "str | None"]
"""The result for a key, or None where the rule does not match."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[K]):
    """One rule.  Of `result`, `condition` and `broken` exactly one is set.

    `condition` begins an `if` block; where it is false, evaluation goes on at rule number `otherwise`.
    `literals` are texts without which the rule gives no result (`literals.required`), None where nothing can be said.
    `place` says where the rule stands, `effort` how long a look at it can take.
    """

    result: Apply[K] | None = None
    condition: Callable[[K], bool] | None = None
    broken: str = ""
    otherwise: int = 0
    literals: frozenset[str] | None = None
    place: str = ""
    effort: Effort = ONE_LOOK


class RuleError(Exception):
    """A rule that makes no sense; the text says why."""


class Grammar(abc.ABC, Generic[K]):
    """How one type reads rules and keys.  `kind` is the word in messages, `substitution` as in Options."""

    kind: str

    def __init__(self, options: Options) -> None:
        self.options = options

    @abc.abstractmethod
    def key(self, key: str) -> K | None:
        """The form in which rules see a key; None where no rule can match it."""

    @abc.abstractmethod
    def rule(self, text: str, warn: Callable[[str], None]) -> Apply[K]:
        """Read `PATTERN RESULT`.  Raises RuleError."""

    def literals(self, text: str) -> frozenset[str] | None:
        """For a rule that `rule` could read: the texts of which one must be in a key that it matches."""
        return None

    def effort(self, text: str) -> Effort:
        """For a rule, or what follows `if`, that could be read: how long a look at it can take."""
        return ONE_LOOK

    @abc.abstractmethod
    def condition(self, text: str, warn: Callable[[str], None]) -> Callable[[K], bool]:
        """Read what follows `if`.  Raises RuleError."""


def parse_rules(lines: Iterable[LogicalLine], grammar: Grammar[K], name: str) -> list[Rule[K]]:
    """Read a table of rules; mistakes are logged and become broken rules."""
    rules: list[Rule[K]] = []
    opened: list[tuple[int, int]] = []  # (index of the if rule, its line)
    for line in lines:
        place = f"{grammar.kind} map {name}, line {line.number}"

        def warn(text: str, place: str = place) -> None:
            log.warning(f"{place}: {text}")

        word, _, rest = line.text.replace("\t", " ").partition(" ")
        rest = line.text[len(word) :].strip()
        try:
            if word.lower() == "if" or word.lower().startswith(("if!", "if/")):
                opened.append((len(rules), line.number))
                rest = line.text[2:].strip()
                # A placeholder until the matching endif tells where the block ends.
                condition = grammar.condition(rest, warn)
                rules.append(Rule(condition=condition, place=place, effort=grammar.effort(rest)))
            elif word.lower() == "endif":
                if not opened:
                    warn("ignoring ENDIF without matching IF")
                    continue
                if rest:
                    warn("ignoring extra text after ENDIF")
                _close(rules, opened.pop()[0])
            else:
                result = grammar.rule(line.text, warn)
                literals, effort = grammar.literals(line.text), grammar.effort(line.text)
                rules.append(Rule(result=result, literals=literals, place=place, effort=effort))
        except RuleError as error:
            warn(f"{error}; look-ups that reach this rule fail")
            rules.append(Rule(broken=f"{place}: {error}"))
    for index, number in reversed(opened):
        log.warning(f"{grammar.kind} map {name}, line {number}: IF has no matching ENDIF")
        _close(rules, index)
    return rules


def _close(rules: list[Rule[K]], index: int) -> None:
    rule = rules[index]
    if rule.condition is not None:
        rules[index] = replace(rule, otherwise=len(rules))


def evaluate(rules: list[Rule[K]], key: K, reached: list[int] | None = None) -> str | None:
    """The result of the first rule that matches.  Raises LookupFailed at a broken rule.

    `reached` has one number, which becomes that of the rule that is looked at.
    """
    index, count = 0, len(rules)
    while index < count:
        rule = rules[index]
        if reached is not None:
            reached[0] = index
        index += 1
        if rule.result is not None:
            value = rule.result(key)
            if value is not None:
                return value
        elif rule.condition is not None:
            if not rule.condition(key):
                index = rule.otherwise
        else:
            raise LookupFailed(rule.broken)
    return None


class RuleSet(Generic[K]):
    """The rules of one table, in one state of it."""

    __slots__ = ("free", "rules", "seconds")

    def __init__(self, rules: list[Rule[K]], seconds: float) -> None:
        """`seconds` of processor time are the bound of one look-up; 0 = none."""
        self.rules = rules
        self.seconds = seconds
        self.free = longest(rule.effort for rule in rules)
        """Keys of up to so many characters cannot take long."""

    def get(self, form: K, length: int) -> str | None:
        """The result for a key of that length.  Raises LookupFailed, also when it takes too long; OutOfTime where an
        outer bound holds (`processor_time.limited`)."""
        if length <= self.free or not self.seconds:
            return evaluate(self.rules, form)
        reached = [0]
        try:
            return within(self.seconds, lambda: evaluate(self.rules, form, reached))
        except TookTooLong:
            reason = (
                f"{self.rules[reached[0]].place}: the look-up of a key of {length} characters used up {self.seconds} s "
                "of processor time here; an expression that decides faster was expected"
            )
            log.warning(reason)
            raise LookupFailed(reason) from None
        except NotMainThread:
            raise LookupFailed(f"{self.rules[0].place}: a look-up that may take long needs the main thread") from None


def literals_of(rules: list[Rule[K]]) -> frozenset[str] | None:
    """The texts of which one must be in a key for which `evaluate` does anything but give None."""
    texts: set[str] = set()
    for rule in rules:
        if rule.condition is not None:
            continue
        if rule.literals is None:
            return None
        texts |= rule.literals
    return frozenset(texts)


def examine_rules(rules: Iterable[Rule[K]]) -> None:
    """Raises LookupFailed where a rule could not be read."""
    for rule in rules:
        if rule.broken:
            raise LookupFailed(rule.broken)


class RuleFile(FileTable[RuleSet[K]], Generic[K]):
    """Rules in a file."""

    patterns = True

    def __init__(self, spec: str, path: str, grammar: Grammar[K]) -> None:
        super().__init__(spec, path, grammar.options)
        self._grammar = grammar
        self._literals: tuple[list[Rule[K]], frozenset[str] | None] | None = None

    def _load(self, descriptor: int) -> RuleSet[K]:
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            lines = logical_lines(stream, self.path, log.warning)
            return RuleSet(parse_rules(lines, self._grammar, self.path), self.options.time_limit)

    def get(self, key: str) -> str | None:
        rules = self._current()
        form = self._grammar.key(key)
        return None if form is None else rules.get(form, len(key))

    def examine(self) -> None:
        examine_rules(self._current().rules)

    def literals(self) -> frozenset[str] | None:
        rules = self._current().rules
        if self._literals is None or self._literals[0] is not rules:
            self._literals = rules, literals_of(rules)
        return self._literals[1]


class RuleList(Table, Generic[K]):
    """Rules in the table's name: `regexp:{{/pattern/ result}, ...}`."""

    patterns = True

    def __init__(self, spec: str, text: str, grammar: Grammar[K]) -> None:
        super().__init__(spec, grammar.options)
        self._grammar = grammar
        try:
            items = [_braced(item) for item in split_items(text)]
        except ValueError as error:
            items = []
            log.warning(f"{grammar.kind} map {spec}: {error}")
            rules: list[Rule[K]] = [Rule(broken=f"{grammar.kind} map {spec}: {error}")]
        else:
            rules = parse_rules(_numbered(items), grammar, spec)
        self._rules = RuleSet(rules, grammar.options.time_limit)

    def get(self, key: str) -> str | None:
        form = self._grammar.key(key)
        return None if form is None else self._rules.get(form, len(key))

    def examine(self) -> None:
        examine_rules(self._rules.rules)

    def literals(self) -> frozenset[str] | None:
        return literals_of(self._rules.rules)


def _braced(item: str) -> str:
    inside = braced(item)
    if inside is None:
        raise ValueError(f'a rule in braces, "{{PATTERN RESULT}}", was expected instead of "{item}"')
    return inside


def _numbered(items: Iterable[str]) -> Iterator[LogicalLine]:
    for number, item in enumerate(items, 1):
        for line in logical_lines([encode(item)], "inline", log.warning):
            yield LogicalLine(number, line.text)


def open_rules(spec: str, grammar: Grammar[K]) -> Table:
    """The table of rules that `spec` names, in a file or in braces."""
    name = spec.partition(":")[2]
    inside = braced(name)
    return RuleFile(spec, name, grammar) if inside is None else RuleList(spec, inside, grammar)
