"""IMAP flags (RFC 5232): setflag, addflag, removeflag, hasflag, and the flags that keep and fileinto give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import comparison
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRINGS, Positional, Rule
from pillarbox.lib.sieve.syntax import Place
from pillarbox.lib.sieve.text import Texts, Variable

_SYSTEM = {f"\\{name.lower()}": f"\\{name}" for name in ("Answered", "Flagged", "Deleted", "Seen", "Draft")}
_KEYWORD = re.compile(r"[!#$&'+-\[^-z|-~]+")  # an atom of RFC 9051

FLAGS = 128
"""Flags that one list may hold: mailboxes cannot store so many different ones."""


def split_flags(values: Iterable[str]) -> tuple[str, ...]:
    """The flags in strings that may hold several each; what is none is left out, none comes twice."""
    found: dict[str, str] = {}
    for value in values:
        for word in value.split():
            lower = word.lower()
            flag = _SYSTEM.get(lower) or (word if _KEYWORD.fullmatch(word) else "")
            if flag and len(found) < FLAGS:
                found.setdefault(lower, flag)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class ChangeFlags:
    """`setflag`, `addflag`, `removeflag`; `variable` None: the internal one."""

    line: int
    how: str
    variable: Variable | None
    flags: Texts

    def act(self, run: Run) -> None:
        given = split_flags(self.flags.get(run))
        before = run.flags if self.variable is None else split_flags((run.value(self.variable),))
        if self.how == "removeflag":
            gone = {flag.lower() for flag in given}
            after = tuple(flag for flag in before if flag.lower() not in gone)
        else:
            after = split_flags((*before, *given)) if self.how == "addflag" else given
        if self.variable is None:
            run.flags = after
        else:
            run.assign(self.variable, " ".join(after))


@dataclass(frozen=True, slots=True)
class Flags:
    """`hasflag`; without variables it looks at the internal one."""

    variables: tuple[Variable, ...]

    def of(self, run: Run) -> Sequence[str]:
        if not self.variables:
            return run.flags
        return tuple(flag for each in self.variables for flag in split_flags((run.value(each),)))


def _variables(call: Call) -> tuple[Variable, ...]:
    if not call.has("variables"):
        return ()
    if "variables" not in call.scope.extensions:
        raise call.error('expected require "variables" for the name of a variable', "variables")
    place: Place = call.node.place
    return tuple(call.scope.variable(name.lower(), place) for name in call.constants("variables"))


def _change(call: Call) -> ChangeFlags:
    named = _variables(call)
    if len(named) > 1:
        raise call.error("expected only one variable", "variables")
    return ChangeFlags(call.line, call.node.name, named[0] if named else None, call.texts("flags"))


_VARIABLES, _FLAGS = Positional("variables", STRINGS, optional=True), Positional("flags", STRINGS)

COMMANDS = {name: Rule(_change, "imap4flags", (_VARIABLES, _FLAGS)) for name in ("setflag", "addflag", "removeflag")}
TESTS = {
    "hasflag": Rule(
        lambda call: comparison(call, Flags(_variables(call)), "flags", words=True),
        "imap4flags",
        (_VARIABLES, _FLAGS),
        MATCH_TAGS,
    )
}
