"""Going through the parts of a message (RFC 5703): `foreverypart`, `break`, `extracttext`.

The outermost loop sees the message itself first, then every part in it; a loop inside sees what is in the part that the
loop around it is at.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.limits import PART
from pillarbox.lib.sieve.node import Block, Break, run_block
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import NUMBER, STRING, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Variable
from pillarbox.lib.sieve.variables import MODIFIERS, variable


@dataclass(frozen=True, slots=True)
class ForEveryPart:
    """`foreverypart`."""

    line: int
    name: str
    block: Block

    def act(self, run: Run) -> None:
        inside = bool(run.parts)
        for number, part in enumerate(run.part.walk()):
            if inside and not number:
                continue
            run.spend(PART)
            run.parts.append(part)
            try:
                run_block(self.block, run)
            except Break as end:
                if end.name and end.name != self.name:
                    raise
                return
            finally:
                run.parts.pop()


@dataclass(frozen=True, slots=True)
class BreakCommand:
    """`break`."""

    line: int
    name: str

    def act(self, run: Run) -> None:
        raise Break(self.name)


@dataclass(frozen=True, slots=True)
class ExtractText:
    """`extracttext`: the text of the part; "" for one that is no text."""

    line: int
    variable: Variable
    first: int | None
    modifiers: tuple[str, ...]

    def act(self, run: Run) -> None:
        if not run.parts:
            raise RuntimeFault("expected 'extracttext' only inside of 'foreverypart'")
        part = run.part
        text = part.readable() if part.part.type == b"text" else ""
        text = text[: run.limits.variable_size if self.first is None else self.first]
        for name in self.modifiers:
            run.spend(len(text))
            text = MODIFIERS[name][2](text)
        run.spend(len(text))
        run.assign(self.variable, text)


def _loop(call: Call) -> ForEveryPart:
    loops = call.scope.loops
    loops.append(call.constant("name"))
    try:
        return ForEveryPart(call.line, loops[-1], call.block())
    finally:
        loops.pop()


def _break(call: Call) -> BreakCommand:
    name = call.constant("name")
    if not call.scope.loops:
        raise call.error("expected 'break' only inside of 'foreverypart'")
    if name and name not in call.scope.loops:
        raise call.error(f'expected the name of a loop around this, not "{name[:100]}"', "name")
    return BreakCommand(call.line, name)


def _extract(call: Call) -> ExtractText:
    if "variables" not in call.scope.extensions:
        raise call.error("expected require \"variables\" for 'extracttext'")
    given = sorted((name for name in MODIFIERS if call.has(name)), key=lambda name: -MODIFIERS[name][0])
    first = call.number("first") if call.has("first") else None
    return ExtractText(call.line, variable(call, "variable"), first, tuple(given))


_NAME = {"name": TagRule(value=STRING)}

COMMANDS = {
    "foreverypart": Rule(_loop, "foreverypart", tags=_NAME, block=True),
    "break": Rule(_break, "foreverypart", tags=_NAME),
    "extracttext": Rule(
        _extract,
        "extracttext",
        (Positional("variable", STRING),),
        tags={
            "first": TagRule(value=NUMBER),
            **{
                name: TagRule(extension, group=str(precedence))
                for name, (precedence, extension, _) in MODIFIERS.items()
            },
        },
    ),
}
