"""From the text of a script to its internal form, and from that and a message to actions."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.sieve.actions import Keep
from pillarbox.lib.sieve.errors import RuntimeFault, SieveError
from pillarbox.lib.sieve.node import Block, Return, Stop, run_block
from pillarbox.lib.sieve.parser import parse
from pillarbox.lib.sieve.registry import EXTENSIONS
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.scope import IncludeSource, Inclusions, Scope
from pillarbox.lib.sieve.state import Result, SieveMessage, SieveState


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was found to be right, in its internal form.  It does not change, and can be pickled.

    `includes`: the scripts that it includes, as (location, name): when one of them changes it is to be compiled anew.
    `body_keys`: how many keys its tests look for in the body.
    """

    name: str
    block: Block
    includes: tuple[tuple[str, str], ...] = ()
    body_keys: int = 0


def compile_script(
    text: str, *, name: str, include: IncludeSource | None = None, extensions: frozenset[str] = EXTENSIONS
) -> Script:
    """Check a script and make it ready to run.

    `name` is for error texts; `include` gives the text of a script by location (`personal` or `global`) and name, None
    where there is none.  Raises SieveError for the first thing that is wrong, in this script or an included one.
    """
    inclusions = Inclusions(include or (lambda _location, _name: None))
    scope = Scope(name, extensions & EXTENSIONS, inclusions)
    try:
        block = scope.script(parse(text, name))
    except RecursionError:
        raise SieveError(name, 1, 1, "expected less nesting of blocks in scripts that include each other") from None
    return Script(name, block, tuple(inclusions.compiled), inclusions.body_keys)


def execute(script: Script, message: SieveMessage, state: SieveState) -> Result:
    """What the script wants done with the message.

    It raises nothing, and looks at nothing but its arguments.  When the script fails, nothing that it wanted is done
    and the message is kept as if there were no script (RFC 5228 section 2.10.6).
    """
    run = Run(message, state, body_keys=script.body_keys)
    try:
        try:
            run_block(script.block, run)
        except (Stop, Return):
            pass
        return Result(run.outcome(), "", tuple(run.remember))
    except RuntimeFault as fault:
        return Result((Keep(implicit=True),), f"{script.name}:{run.line}: {fault}")
    except RecursionError:  # at most 32 levels in each of 10 scripts, but perhaps on top of a high stack
        return Result((Keep(implicit=True),), f"{script.name}:{run.line}: too much nesting")
