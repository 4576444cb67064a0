"""What a command or a test may be given, as data, and the arguments sorted by it (RFC 5228 section 2.6).

    "fileinto": Rule(build, "fileinto", (Positional("mailbox", STRING),), tags={"copy": TagRule("copy")})

A tag names the extension that brings it: a script that does not require it may not use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.syntax import Argument, Command, Number, Place, String, StringList, Tag, Test

if TYPE_CHECKING:
    from pillarbox.lib.sieve.call import Call

Kind: TypeAlias = Literal["a string", "a list of strings", "a number"]
STRING: Final[Kind] = "a string"
STRINGS: Final[Kind] = "a list of strings"
NUMBER: Final[Kind] = "a number"


@dataclass(frozen=True, slots=True)
class TagRule:
    """A tag: the extension that brings it, the kind of value that follows it, the group of which only one may stand."""

    extension: str = ""
    value: Kind | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Positional:
    """An argument by its place.  Where there are fewer than declared the optional ones are missing, the first first."""

    name: str
    kind: Kind
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A command or a test: how it is written, and what makes a node of it.

    `extension`: what the script must require, one of several where they stand beside each other.
    `tests`: how many it takes, (least, most); `block`: whether it has a block instead of a semicolon.
    """

    build: Callable[[Call], Any]
    extension: str = ""
    positional: tuple[Positional, ...] = ()
    tags: Mapping[str, TagRule] = field(default_factory=dict)
    tests: tuple[int, int] = (0, 0)
    block: bool = False


@dataclass(frozen=True, slots=True)
class Sorted:
    """The arguments of one use, by their names; a tag without value has itself as value."""

    tags: Mapping[str, Argument]
    positional: Mapping[str, Argument]


def sort_arguments(rule: Rule, node: Command | Test, script: str, extensions: frozenset[str]) -> Sorted:
    """Check and sort the arguments.  Raises SieveError with the place of what is wrong."""
    tags: dict[str, Argument] = {}
    groups: dict[str, str] = {}
    arguments = list(node.arguments)
    position = 0
    while position < len(arguments) and isinstance(tag := arguments[position], Tag):
        position += 1
        found = rule.tags.get(tag.name)
        if found is None:
            raise SieveError(script, *tag.place, f"expected a tag of '{node.name}', not ':{tag.name}'", unknown=True)
        if found.extension and found.extension not in extensions:
            raise SieveError(script, *tag.place, f"expected require \"{found.extension}\" for ':{tag.name}'")
        if tag.name in tags:
            raise SieveError(script, *tag.place, f"expected ':{tag.name}' only once")
        if found.group and groups.setdefault(found.group, tag.name) != tag.name:
            other = groups[found.group]
            raise SieveError(script, *tag.place, f"expected only one of ':{other}' and ':{tag.name}'")
        tags[tag.name] = tag
        if found.value is not None:
            value = arguments[position] if position < len(arguments) else None
            tags[tag.name] = _checked(value, found.value, script, tag.place, f"behind ':{tag.name}'")
            position += 1
    return Sorted(tags, _positional(rule, node, arguments[position:], script))


def _positional(rule: Rule, node: Command | Test, rest: list[Argument], script: str) -> dict[str, Argument]:
    if late := next((each for each in rest if isinstance(each, Tag)), None):
        raise SieveError(script, *late.place, f"expected ':{late.name}' before the other arguments of '{node.name}'")
    missing = len(rule.positional) - len(rest)
    if missing < 0:
        extra = rest[len(rule.positional)]
        raise SieveError(script, *extra.place, f"expected no further argument of '{node.name}'")
    wanted: list[Positional] = []
    for each in rule.positional:
        if each.optional and missing > 0:
            missing -= 1
        else:
            wanted.append(each)
    found: dict[str, Argument] = {}
    for number, each in enumerate(wanted):
        value = rest[number] if number < len(rest) else None
        found[each.name] = _checked(value, each.kind, script, node.place, f"({each.name}) for '{node.name}'")
    return found


def _checked(value: Argument | None, kind: Kind, script: str, place: Place, where: str) -> Argument:
    if isinstance(value, Number):
        fits = kind == NUMBER
    elif isinstance(value, String):
        fits = kind != NUMBER
    elif isinstance(value, StringList):
        fits = kind == STRINGS
    else:
        fits = False
    if value is None or not fits:
        raise SieveError(script, *(value.place if value is not None else place), f"expected {kind} {where}")
    return value
