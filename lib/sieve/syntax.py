"""The syntax tree of a script (RFC 5228 section 8.2): any words in the right places, whatever they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Place(NamedTuple):
    """Where something stands; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number, its quantifier applied."""

    value: int
    place: Place


@dataclass(frozen=True, slots=True)
class String:
    """A string as it is written, escapes undone."""

    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class StringList:
    """Strings in brackets; a string without brackets is a list of one where a list is wanted."""

    strings: tuple[String, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag without its colon, in lower case."""

    name: str
    place: Place


Argument: TypeAlias = Number | String | StringList | Tag


@dataclass(frozen=True, slots=True)
class Test:
    """A test; its name is in lower case.  `listed`: its tests stand in parentheses."""

    name: str
    arguments: tuple[Argument, ...]
    tests: tuple[Test, ...]
    place: Place
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `block` is None where it ends with a semicolon.  Its name is in lower case, `listed` as for tests."""

    name: str
    arguments: tuple[Argument, ...]
    tests: tuple[Test, ...]
    block: tuple[Command, ...] | None
    place: Place
    listed: bool = False
