"""The source format of look-up tables, postmap(1): `key white-space value` per logical line.

A key that contains white space stands in double quotes, with backslash before a quote or backslash; the quotes are
not part of the key where nothing inside needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pillarbox.lib.tables.lines import Warn, logical_lines

_WHITE = " \t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `line` is its line number in the source."""

    line: int
    key: str
    value: str


Fault = Callable[[str, str], None]
"""Is told of a line that is no entry: the key that it is about, "" where nobody knows, and what is wrong."""


def parse_map(
    source: Iterable[bytes], name: str, warn: Warn, *, suffix: str = "", fault: Fault | None = None
) -> Iterator[Entry]:
    """The entries of a table source.  `name` stands in the warnings; lines that are no entry are warned of, with
    `suffix` appended, told to `fault`, and skipped.  Keys are as written; folding is the builder's."""

    def refuse(key: str, text: str) -> None:
        warn(text)
        if fault is not None:
            fault(key, text)

    for line in logical_lines(source, name, lambda text: refuse("", text)):
        end = _key_end(line.text)
        if end < 0:
            refuse("", f"{name}, line {line.number}: unbalanced '\"' in '{line.text}' -- ignoring this line")
            continue
        key, value = line.text[:end], line.text[end:].strip(_WHITE)
        if not value:
            refuse(key, f"{name}, line {line.number}: expected format: key whitespace value{suffix}")
            continue
        if key[-1] == ":":
            warn(f'{name}, line {line.number}: record is in "key: value" format; is this an alias file?')
        yield Entry(line.number, key, value)


def _key_end(text: str) -> int:
    """Where the key ends: at white space outside quotes; -1 where quotes do not close."""
    quoted = False
    position, length = 0, len(text)
    while position < length:
        character = text[position]
        if quoted and character == "\\":
            position += 2
            continue
        if character == '"':
            quoted = not quoted
        elif not quoted and character in _WHITE:
            break
        position += 1
    return -1 if quoted else min(position, length)
