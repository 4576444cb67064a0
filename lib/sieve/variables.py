"""Variables (RFC 5229): `set` and `string`; `:quoteregex` of the regex draft, `:encodeurl` of RFC 5435."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.comparators import fold_ascii
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Count, Matcher, matcher
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text, Texts, Variable

_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*")
_WILDCARDS = re.compile(r"([*?\\])")
_OPERATORS = re.compile(r"([.*+?^$|(){}\[\]\\])")


def _upper(value: str) -> str:
    return value.upper() if value.isascii() else "".join(c.upper() if c.isascii() else c for c in value)


MODIFIERS: Final[dict[str, tuple[int, str, Callable[[str], str]]]] = {
    "lower": (40, "", fold_ascii),
    "upper": (40, "", _upper),
    "lowerfirst": (30, "", lambda value: fold_ascii(value[:1]) + value[1:]),
    "upperfirst": (30, "", lambda value: _upper(value[:1]) + value[1:]),
    "quotewildcard": (20, "", lambda value: _WILDCARDS.sub(r"\\\1", value)),
    "quoteregex": (20, "regex", lambda value: _OPERATORS.sub(r"\\\1", value)),
    "encodeurl": (15, "enotify", lambda value: quote(value, safe="-._~", errors="surrogatepass")),
    "length": (10, "", lambda value: str(len(value))),
}
"""Modifiers: precedence (the higher is applied earlier, two of one are an error), extension, what they do."""


@dataclass(frozen=True, slots=True)
class Set:
    """`set`; the names of the modifiers are in the order of their precedence."""

    line: int
    variable: Variable
    value: Text
    modifiers: tuple[str, ...]

    def act(self, run: Run) -> None:
        value = self.value.get(run)
        for name in self.modifiers:
            run.spend(len(value))
            value = MODIFIERS[name][2](value)
        run.assign(self.variable, value)


@dataclass(frozen=True, slots=True)
class StringTest:
    """`string`; an empty string counts as none."""

    source: Texts
    matcher: Matcher

    def holds(self, run: Run) -> bool:
        values = self.source.get(run)
        if isinstance(self.matcher, Count):
            values = tuple(filter(None, values))
        return self.matcher.match(run, values)


def variable_name(written: str) -> bool:
    """Whether a variable, perhaps in a namespace, can be called so."""
    return _NAME.fullmatch(written) is not None


def variable(call: Call, name: str) -> Variable:
    """The variable that a constant string names.  Raises SieveError."""
    written = call.constant(name)
    if not variable_name(written):
        raise call.error(f'expected the name of a variable, not "{written[:100]}"', name)
    return call.scope.variable(written.lower(), call.node.place)


def _set(call: Call) -> Set:
    given = sorted((name for name in MODIFIERS if call.has(name)), key=lambda name: -MODIFIERS[name][0])
    return Set(call.line, variable(call, "name"), call.text("to"), tuple(given))


COMMANDS = {
    "set": Rule(
        _set,
        "variables",
        (Positional("name", STRING), Positional("to", STRING)),
        tags={
            name: TagRule(extension, group=str(precedence)) for name, (precedence, extension, _) in MODIFIERS.items()
        },
    )
}
TESTS = {
    "string": Rule(
        lambda call: StringTest(call.texts("source"), matcher(call, "keys")),
        "variables",
        (Positional("source", STRINGS), Positional("keys", STRINGS)),
        MATCH_TAGS,
    )
}
