"""Scripts in scripts (RFC 6609): `include`, `return`, `global`.

An included script is compiled with the one that includes it, each with its own `require` and its own variables; the
global ones, flags and actions are common.  One that is not there is an error when it is reached, so that scripts can be
stored in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault, SieveError
from pillarbox.lib.sieve.limits import INCLUDE_NESTING, INCLUDES
from pillarbox.lib.sieve.node import Block, Return, run_block
from pillarbox.lib.sieve.parser import parse
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.variables import variable_name

if TYPE_CHECKING:
    from pillarbox.lib.sieve.scope import Scope

NAME_LENGTH = 128
"""Characters of a script's name, as ManageSieve has it (RFC 5804 section 1.6)."""


@dataclass(frozen=True, slots=True)
class Include:
    """`include`; `block` None: there is no such script."""

    line: int
    key: tuple[str, str]
    block: Block | None
    once: bool
    optional: bool

    def act(self, run: Run) -> None:
        if self.once and self.key in run.included:
            return
        if self.block is None:
            if self.optional:
                return
            raise RuntimeFault(f'expected a {self.key[0]} script called "{self.key[1]}"')
        run.included.add(self.key)
        outside = run.variables, run.match_values
        run.variables, run.match_values = {}, ()
        try:
            run_block(self.block, run)
        except Return:
            pass
        run.variables, run.match_values = outside
        run.line = self.line


@dataclass(frozen=True, slots=True)
class End:
    """`return`."""

    line: int

    def act(self, run: Run) -> None:
        raise Return


@dataclass(frozen=True, slots=True)
class Global:
    """`global`: nothing is left to do when the script runs."""

    line: int

    def act(self, run: Run) -> None:
        return


def _include(call: Call) -> Include:
    location, name = call.one_of("global") or "personal", call.constant("name")
    if not 0 < len(name) <= NAME_LENGTH or "/" in name or not name.isprintable():
        raise call.error(f'expected the name of a script, not "{name[:NAME_LENGTH]}"', "name")
    key = (location, name)
    if key in call.scope.open_scripts:
        raise call.error(f'expected no script that includes itself, as "{name}" does', "name")
    if len(call.scope.open_scripts) >= INCLUDE_NESTING:
        raise call.error(f"expected at most {INCLUDE_NESTING} scripts inside each other", "name")
    if not call.scope.inclusions.another():
        raise call.error(f"expected at most {INCLUDES} included scripts", "name")
    return Include(call.line, key, _compiled(call.scope, key), call.has("once"), call.has("optional"))


def _compiled(scope: Scope, key: tuple[str, str]) -> Block | None:
    known = scope.inclusions.compiled
    if key not in known:
        text = scope.inclusions.source(*key)
        # Known from here on, but not used: the script is open, and may not include itself.
        known[key] = None
        if text is not None:
            inner = type(scope)(key[1], scope.available, scope.inclusions, open_scripts=(*scope.open_scripts, key))
            try:
                known[key] = inner.script(parse(text, key[1]))
            except SieveError as error:
                # What is unknown in there does not become known because the script around it asks with `ihave`.
                error.unknown = False
                raise
    return known[key]


def _global(call: Call) -> Global:
    for name in call.constants("names"):
        if not variable_name(name) or "." in name:
            raise call.error(f'expected the name of a variable, not "{name[:100]}"', "names")
        call.scope.shared.add(name.lower())
    return Global(call.line)


COMMANDS = {
    "include": Rule(
        _include,
        "include",
        (Positional("name", STRING),),
        tags={
            "personal": TagRule(group="location"),
            "global": TagRule(group="location"),
            "once": TagRule(),
            "optional": TagRule(),
        },
    ),
    "return": Rule(lambda call: End(call.line), "include"),
    "global": Rule(_global, "include", (Positional("names", STRINGS),)),
}
