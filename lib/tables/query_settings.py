"""The files that describe tables in servers: `name = value` as in Postfix's main.cf (ldap_table(5), mysql_table(5) ..).

A line that begins with white space goes on with the one before; `#` begins a comment line.  Values are taken as they
are: a `$` in a password is a `$`.  Whatever is wrong is said with file, line and what was expected.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

from pillarbox.lib.config.errors import nearest
from pillarbox.lib.tables.lines import logical_lines

SIZE_LIMIT = 1 << 20
"""Bytes of such a file; those that people write have a thousand."""

_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class Settings:
    """What one file says.  Each method raises ValueError, worded for the person who wrote the file."""

    def __init__(self, path: str, values: dict[str, tuple[int, str]]) -> None:
        self.path = path
        self._values = values

    def wrong(self, name: str, what: object) -> ValueError:
        """The error for a setting whose value makes no sense."""
        line, _ = self._values.get(name, (0, ""))
        place = f"{self.path}, line {line}" if line else self.path
        return ValueError(f"{place}: {name}: {what}")

    def has(self, name: str) -> bool:
        """Whether the file sets it."""
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        return self._values[name][1] if name in self._values else default

    def needed(self, name: str) -> str:
        """A text that must not be missing or empty."""
        value = self.text(name)
        if not value:
            raise self.wrong(name, "a value was expected")
        return value

    def words(self, name: str, default: str = "") -> tuple[str, ...]:
        """A list, separated by blanks or commas."""
        return tuple(self.text(name, default).replace(",", " ").split())

    def number(self, name: str, default: int, *, minimum: int = 0) -> int:
        """A whole number."""
        value = self.text(name)
        if not value:
            return default
        if not _NUMBER.match(value) or int(value) < minimum:
            raise self.wrong(name, f'a whole number, at least {minimum}, was expected instead of "{value}"')
        return int(value)

    def boolean(self, name: str, default: bool) -> bool:
        """yes or no."""
        value = self.text(name)
        if not value:
            return default
        if value.lower() not in _BOOLEANS:
            raise self.wrong(name, f'"yes" or "no" was expected instead of "{value}"')
        return _BOOLEANS[value.lower()]

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        """One word of several."""
        value = self.text(name, default).lower()
        if value not in choices:
            raise self.wrong(name, f'one of {", ".join(choices)} was expected instead of "{value}"')
        return value


def read_settings(descriptor: int, path: str, known: Iterable[str]) -> Settings:
    """The settings of the open file.  Raises ValueError with file, line and what was expected, and OSError."""
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(descriptor, 65536):
        chunks.append(chunk)
        size += len(chunk)
        if size > SIZE_LIMIT:
            raise ValueError(f"{path}: a file of at most {SIZE_LIMIT} bytes was expected")
    return parse_settings(b"".join(chunks), path, known)


def parse_settings(content: bytes, path: str, known: Iterable[str]) -> Settings:
    """The settings of a file with this content.  Raises ValueError with file, line and what was expected."""
    known = frozenset(known)
    values: dict[str, tuple[int, str]] = {}

    def refuse(text: str) -> None:
        raise ValueError(text.partition(': "')[0])  # not the line itself: it may be a password

    for line in logical_lines(content.split(b"\n"), path, refuse):
        name, equals, value = line.text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f'{path}, line {line.number}: "name = value" was expected')
        if name not in known:
            raise ValueError(f'{path}, line {line.number}: unknown setting "{name}"{nearest(name, known)}')
        values[name] = (line.number, value.strip())
    return Settings(path, values)


def readable_by_all(descriptor: int) -> bool:
    """Whether every user of the system may read the open file."""
    return bool(os.fstat(descriptor).st_mode & stat.S_IROTH)
