"""The kinds of configuration parameter, and the register of all that are declared.

A parameter is declared once, in `parameters/GROUP.py`, with its name, default and the paragraph that `postconf`,
the manual and the shipped `main.yaml` show.  The declaration is also the typed key under which programs read it:
`config[MESSAGE_SIZE_LIMIT]` is an `int` for the type checker.

Raw values are text in Postfix's value syntax (postconf(5)), or a tuple of texts where the YAML file has a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pillarbox.lib.address.network import parse_network
from pillarbox.lib.config.mapping import Tree, parse_mapping

T = TypeVar("T")

Raw: TypeAlias = "str | tuple[str, ...]"
"""A value as written: one text, or a list of texts."""

Default: TypeAlias = "Raw | Callable[[], str]"

_TIME_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_INTEGER = re.compile(r"-?\d{1,18}")
_SIZE = re.compile(r"\d{1,18}")
_TABLE = re.compile(r"[a-z][a-z0-9_]*:")
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_SEPARATORS = ", \t\r\n"


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Generic[T]):
    """One declared parameter.  `parse` turns the expanded raw value into the typed one or raises ValueError."""

    name: str
    default: Default
    doc: str
    kind: str
    parse: Callable[[Raw], T]
    at_use: bool = False
    """References are left in the value: they name what is known only at use (a recipient's `$user`, `$home`)."""
    mapping: bool = False
    """The value may be a YAML mapping; see `lib.config.mapping`."""

    def default_raw(self) -> Raw:
        """The default as written in a file; computed for those that depend on the machine."""
        return self.default() if callable(self.default) else self.default


REGISTER: dict[str, Parameter[object]] = {}


def declare(
    name: str,
    default: Default,
    doc: str,
    kind: str,
    parse: Callable[[Raw], T],
    *,
    at_use: bool = False,
    mapping: bool = False,
) -> Parameter[T]:
    """Put a parameter into the register; the functions below do it for the common kinds."""
    if name in REGISTER:
        raise AssertionError(f"parameter {name} is declared twice")
    parameter = Parameter(name, default, " ".join(doc.split()), kind, parse, at_use, mapping)
    REGISTER[name] = parameter  # type: ignore[assignment]
    return parameter


def joined(raw: Raw) -> str:
    """A raw value as one text, a list joined the way it would be written on one line."""
    return raw if isinstance(raw, str) else ", ".join(raw)


def split_words(raw: Raw) -> tuple[str, ...]:
    """The items of a list value: separated by commas or white space, or the YAML list's own items.

    Inside braces, which nest, both are part of the item: `{ reject_rbl_client zen.example }`, `inline:{{a = b, c}}`
    (postconf(5)).
    """
    if isinstance(raw, tuple):
        return tuple(word for item in raw for word in split_words(item))
    if "{" not in raw:
        return tuple(raw.replace(",", " ").split())
    words: list[str] = []
    start, depth = -1, 0
    for position, character in enumerate(raw):
        if not depth and character in _SEPARATORS:
            if start >= 0:
                words.append(raw[start:position])
                start = -1
            continue
        if start < 0:
            start = position
        if character == "{":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
    if start >= 0:
        words.append(raw[start:])
    return tuple(words)


def parse_seconds(text: str) -> float:
    """A Postfix time value (`5d`, `300s`, `1h30m`; a bare number is seconds) in seconds."""
    position, total = 0, 0.0
    while position < len(text) and (match := _TIME.match(text, position)):
        total += float(match[1]) * _TIME_UNITS[match[2] or "s"]
        position = match.end()
    if not text or position != len(text):
        raise ValueError('a time such as "30s", "5m", "4h" or "5d" was expected')
    return total


def parse_boolean(text: str) -> bool:
    """`yes` or `no` (YAML's true and false are written so by the reader)."""
    if text not in ("yes", "no"):
        raise ValueError('"yes" or "no" was expected')
    return text == "yes"


def text(name: str, default: Default, doc: str) -> Parameter[str]:
    """A free text."""
    return declare(name, default, doc, "text", joined)


def url(name: str, default: Default, doc: str) -> Parameter[str]:
    """`https://HOST[:PORT]/PATH` or `http://...`, without credentials; or empty."""

    def parse(raw: Raw) -> str:
        value = joined(raw).strip()
        if value:
            parts = urlsplit(value)
            parts.port  # noqa: B018 - raises ValueError for one that is no port
            good = (
                parts.scheme in ("https", "http") and parts.hostname and parts.username is None and not parts.fragment
            )
            if not good or not value.isascii() or not value.isprintable() or " " in value:
                raise ValueError(f'"{value}" is no URL https://HOST[:PORT]/PATH')
        return value

    return declare(name, default, doc, "URL", parse)


def path(name: str, default: Default, doc: str) -> Parameter[str]:
    """A file or directory name."""
    return declare(name, default, doc, "path", joined)


def template(name: str, default: Default, doc: str) -> Parameter[str]:
    """A text with references that are expanded for each use of it, not when the configuration is read."""
    return declare(name, default, doc, "text with $names", joined, at_use=True)


def boolean(name: str, default: str, doc: str) -> Parameter[bool]:
    """`yes` or `no`."""
    return declare(name, default, doc, "yes or no", lambda raw: parse_boolean(joined(raw)))


def integer(name: str, default: str, doc: str, *, minimum: int = 0, maximum: int = 2**31 - 1) -> Parameter[int]:
    """A whole number within bounds."""

    def parse(raw: Raw) -> int:
        value = joined(raw)
        if not _INTEGER.fullmatch(value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum} was expected")
        return int(value)

    return declare(name, default, doc, "number", parse)


def size(name: str, default: str, doc: str) -> Parameter[int]:
    """A size in bytes; 0 commonly means no limit."""

    def parse(raw: Raw) -> int:
        value = joined(raw)
        if not _SIZE.fullmatch(value):
            raise ValueError("a size in bytes was expected")
        return int(value)

    return declare(name, default, doc, "size in bytes", parse)


def seconds(name: str, default: str, doc: str) -> Parameter[float]:
    """A duration; the parsed value is in seconds."""
    return declare(name, default, doc, "time", lambda raw: parse_seconds(joined(raw)))


def words(name: str, default: Default, doc: str, *, options: tuple[str, ...] = ()) -> Parameter[tuple[str, ...]]:
    """A list of words, where `options` is given each one of them."""

    def parse(raw: Raw) -> tuple[str, ...]:
        items = split_words(raw)
        for item in items:
            if options and item not in options:
                raise ValueError(f'"{item}" is none of {", ".join(options)}')
        return items

    return declare(name, default, doc, "list", parse)


def tables(name: str, default: Default, doc: str, kind: str = "tables") -> Parameter[tuple[str, ...]]:
    """A list of look-up tables, each `type:name`."""

    def parse(raw: Raw) -> tuple[str, ...]:
        names = split_words(raw)
        for item in names:
            if not _TABLE.match(item):
                raise ValueError(f'a table "type:name" was expected, not "{item}"')
        return names

    return declare(name, default, doc, kind, parse)


def secret_tables(name: str, default: Default, doc: str) -> Parameter[tuple[str, ...]]:
    """A list of tables about which lookup answers nobody: the program that needs them reads them itself, before it
    gives up its rights."""
    return tables(name, default, doc, kind="secret tables")


def networks(name: str, default: Default, doc: str) -> Parameter[tuple[str, ...]]:
    """A list of addresses and networks."""

    def parse(raw: Raw) -> tuple[str, ...]:
        items = split_words(raw)
        for item in items:
            parse_network(item)
        return items

    return declare(name, default, doc, "networks", parse)


def choice(name: str, default: str, doc: str, options: tuple[str, ...]) -> Parameter[str]:
    """One of a fixed set of words."""

    def parse(raw: Raw) -> str:
        value = joined(raw)
        if value not in options:
            raise ValueError("one of " + ", ".join(f'"{option}"' for option in options) + " was expected")
        return value

    return declare(name, default, doc, "choice", parse)


def checked_words(
    name: str, default: Default, doc: str, check: Callable[[tuple[str, ...]], object]
) -> Parameter[tuple[str, ...]]:
    """A list of words with a syntax of its own; `check` raises ValueError where the list is none."""

    def parse(raw: Raw) -> tuple[str, ...]:
        items = split_words(raw)
        check(items)
        return items

    return declare(name, default, doc, "list", parse)


def mapping(name: str, doc: str, read: Callable[[dict[str, Tree]], T]) -> Parameter[T]:
    """A mapping, empty by default; `read` raises ValueError, `BadEntry` where one entry is wrong."""
    return declare(name, "", doc, "mapping", lambda raw: read(parse_mapping(joined(raw))), mapping=True)
