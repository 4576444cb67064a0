"""Editing the header (RFC 5293): `addheader`, `deleteheader`.

What shows where a message has been (Received) and whether a program wrote it (Auto-Submitted) cannot be taken out
(section 4): such a command does nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.header import HeaderField
from pillarbox.lib.sieve.limits import TEST
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import Count, Matcher, matcher
from pillarbox.lib.sieve.message_tests import INDEX_TAGS, Index, index
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text

PROTECTED: Final = frozenset(("received", "auto-submitted"))
_NAME = re.compile("[!-9;-~]{1,200}")


@dataclass(frozen=True, slots=True)
class AddHeader:
    """`addheader`: at the top, or with `:last` at the bottom."""

    line: int
    name: Text
    value: Text
    last: bool

    def act(self, run: Run) -> None:
        name, value = _checked(self.name.get(run)), self.value.get(run)
        run.growth += len(name) + 2 * len(value)
        if run.growth > run.limits.header_growth:
            raise RuntimeFault(f"more than {run.limits.header_growth} octets of header fields are added")
        run.spend(TEST + len(value))
        run.header.add(name, value, last=self.last)


@dataclass(frozen=True, slots=True)
class DeleteHeader:
    """`deleteheader`: all fields of the name, or those that the index and the values choose."""

    line: int
    name: Text
    index: Index
    matcher: Matcher | None

    def act(self, run: Run) -> None:
        name = _checked(self.name.get(run)).lower()
        found = run.header.named(name)
        chosen = [found[at] for at in self.index.of(len(found))]
        run.spend(TEST * (len(run.header.fields) + 1))
        if name not in PROTECTED:
            run.header.remove(self._matching(run, chosen))

    def _matching(self, run: Run, fields: list[HeaderField]) -> list[HeaderField]:
        if self.matcher is None:
            return fields
        if isinstance(self.matcher, Count):
            return fields if self.matcher.match(run, tuple(each.text() for each in fields)) else []
        return [each for each in fields if self.matcher.match(run, (each.text(),))]


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RuntimeFault(f'expected the name of a header field, not "{name[:100]}"')
    return name


def _name(call: Call) -> Text:
    name = call.text("name")
    if name.constant is not None and not _NAME.fullmatch(name.constant):
        raise call.error(f'expected the name of a header field, not "{name.constant[:100]}"', "name")
    return name


def _delete(call: Call) -> DeleteHeader:
    values = matcher(call, "values") if call.has("values") else None
    return DeleteHeader(call.line, _name(call), index(call), values)


COMMANDS = {
    "addheader": Rule(
        lambda call: AddHeader(call.line, _name(call), call.text("to"), call.has("last")),
        "editheader",
        (Positional("name", STRING), Positional("to", STRING)),
        tags={"last": TagRule()},
    ),
    "deleteheader": Rule(
        _delete,
        "editheader",
        (Positional("name", STRING), Positional("values", STRINGS, optional=True)),
        # Here the index belongs to the command itself.
        MATCH_TAGS | {name: TagRule(value=rule.value) for name, rule in INDEX_TAGS.items()},
    ),
}
