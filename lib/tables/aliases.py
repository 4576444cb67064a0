"""The source format of alias files, aliases(5): `name: value, value ...` per logical line.

The name is a local part, quoted where it holds special characters; it is stored without quotes, folded by the
builder.  The value is kept as written, so that delivery sees the quotes of `"|command with blanks"`; only white
space around it goes, and quotes left open are closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pillarbox.lib.tables.lines import Warn, logical_lines
from pillarbox.lib.tables.source import Entry

_WHITE = " \t\n\v\f\r"


def parse_aliases(source: Iterable[bytes], name: str, warn: Warn) -> Iterator[Entry]:
    """The entries of an alias source; what is no entry is warned of and skipped."""
    for line in logical_lines(source, name, warn):
        colon = _colon(line.text)
        left = line.text[:colon].strip(_WHITE) if colon > 0 else ""
        value = line.text[colon + 1 :].strip(_WHITE) if colon > 0 else ""
        key = _unquoted(left)
        if not key or not value:
            warn(f"{name}, line {line.number}: need name:value pair")
            continue
        if "@" in key and not left.startswith('"'):
            warn(f"{name}, line {line.number}: name must be local")
            continue
        yield Entry(line.number, key, _closed(value))


def _colon(text: str) -> int:
    """The first colon outside quotes, -1 where there is none."""
    quoted = escaped = False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            return position
    return -1


def _unquoted(text: str) -> str:
    if '"' not in text and "\\" not in text:
        return text
    result: list[str] = []
    escaped = False
    for character in text:
        if escaped:
            result.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character != '"':
            result.append(character)
    return "".join(result)


def _closed(value: str) -> str:
    """The value with an open quote closed, as Postfix stores it."""
    quoted = escaped = False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
    return value + '"' if quoted else value
