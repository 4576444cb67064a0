"""The variables of recipes, which are the environment of their programs, and how words are expanded with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from pillarbox.lib.procmail.syntax import Literal, Output, Variable, Word

DEFAULT_LINEBUF: Final = 2048
SMALLEST_LINEBUF: Final = 128
LARGEST_LINEBUF: Final = 1 << 20
"""However long lines a user wants: what one expansion may need of memory."""
VARIABLE_LIMIT: Final = 2000
"""Variables: what a user's recipes may keep."""

_MAGIC: Final = frozenset("\\^$.[|()*+?")


class Overflow(Exception):
    """An expansion is longer than LINEBUF; `text` is its beginning."""

    def __init__(self, text: str = "") -> None:
        super().__init__("Exceeded LINEBUF")
        self.text = text


class Variables:
    """Names and values; texts are octets as the characters 0 to 255."""

    def __init__(self, values: dict[str, str], arguments: Sequence[str] = ()) -> None:
        self.values = values
        self.arguments = list(arguments)
        self.score = "0"
        self.status = 0
        self.file = ""
        self.process = 0

    def copy(self) -> Variables:
        """The same, for a clone."""
        other = Variables(dict(self.values), self.arguments)
        other.score, other.status, other.file, other.process = self.score, self.status, self.file, self.process
        return other

    def get(self, name: str, default: str = "") -> str:
        """A variable's value."""
        return self.values.get(name, default)

    def number(self, name: str, default: int) -> int:
        """A variable as a number, `default` where it is none."""
        return number(self.values.get(name, ""), default)

    def true(self, name: str, default: bool = False) -> bool:
        """A variable as a switch."""
        value = self.values.get(name)
        return default if value is None else is_true(value)

    @property
    def limit(self) -> int:
        """LINEBUF in force."""
        return min(LARGEST_LINEBUF, max(SMALLEST_LINEBUF, self.number("LINEBUF", DEFAULT_LINEBUF)))

    def set(self, name: str, value: str) -> None:
        """Set a variable; one more than VARIABLE_LIMIT is not kept."""
        if name in self.values or len(self.values) < VARIABLE_LIMIT:
            self.values[name] = value

    def expand(self, word: Word, output: Callable[[str], str]) -> list[str]:
        """The fields that a word becomes: unquoted variables are split at blanks.  Raises Overflow."""
        fields: list[str] = []
        current: list[str] = []
        started = False
        for part in word:
            if isinstance(part, Variable) and part.name == "@":
                # The arguments as they are, one by one; without any there is no empty word.
                for index, argument in enumerate(self.arguments):
                    if index:
                        fields.append("".join(current))
                        current = []
                    current.append(argument)
                    started = True
                continue
            text, split = self._part(part, output)
            if not split:
                started = started or bool(text) or not _before_arguments(word)
                current.append(text)
                continue
            pieces = text.split()
            if pieces and text[:1].isspace() and started:
                fields.append("".join(current))
                current, started = [], False
            for index, piece in enumerate(pieces):
                if index:
                    fields.append("".join(current))
                    current = []
                current.append(piece)
                started = True
            if pieces and text[-1:].isspace():
                fields.append("".join(current))
                current, started = [], False
        if started:
            fields.append("".join(current))
        if sum(map(len, fields)) > self.limit:
            raise Overflow
        return fields

    def value(self, word: Word, output: Callable[[str], str]) -> str:
        """What a word is as a value or in double quotes: one text.  Raises Overflow."""
        pieces = []
        size = 0
        for part in word:
            text, _ = self._part(part, output)
            size += len(text)
            pieces.append(text)
            if size > self.limit:
                raise Overflow("".join(pieces)[: self.limit])
        return "".join(pieces)

    def _part(self, part: Literal | Variable | Output, output: Callable[[str], str]) -> tuple[str, bool]:
        """A part's text, and whether it is split at blanks."""
        if isinstance(part, Literal):
            return part.text, False
        if isinstance(part, Output):
            return output(part.command), not part.quoted
        text = self._special(part.name)
        if text is None:
            text = self.values.get(part.name)
        if part.operator:
            empty = text is None or (part.operator.startswith(":") and not text)
            if part.operator.endswith("-"):
                text = self.value(part.other, output) if empty else text
            else:
                text = "" if empty else self.value(part.other, output)
        text = text or ""
        return (disarm(text) if part.disarmed else text), not part.quoted

    def _special(self, name: str) -> str | None:
        if name.isascii() and name.isdigit():
            digits = name.lstrip("0")
            if not digits:
                return "procmail"
            index = int(digits[:6]) - 1  # there are not so many
            return self.arguments[index] if index < len(self.arguments) else None
        match name:
            case "$":
                return str(self.process)
            case "?":
                return str(self.status)
            case "_":
                return self.file
            case "=":
                return self.score
            case "#":
                return str(len(self.arguments))
            case "-":
                return self.values.get("LASTFOLDER", "")
            case "@":
                return " ".join(self.arguments)
        return None


def _before_arguments(word: Word) -> bool:
    """Whether a word has nothing in it but `"$@"`."""
    return any(isinstance(part, Variable) and part.name == "@" for part in word)


def disarm(text: str) -> str:
    """An expression that matches just this text."""
    return "()" + "".join("\\" + character if character in _MAGIC else character for character in text)


def number(text: str, default: int) -> int:
    """A decimal number at the beginning of a text, `default` where there is none."""
    text = text.strip()
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-") if text[:1] in ("+", "-") else text
    end = 0
    while end < len(digits) and end < 9 and digits[end] in "0123456789":
        end += 1
    return sign * int(digits[:end]) if end else default


def is_true(value: str) -> bool:
    """procmail's booleans: a number that is not zero, or a word that begins with on, y, t or e."""
    value = value.strip().lower()
    if value[:1].isdigit() or value[:1] in ("+", "-"):
        return number(value, 0) != 0
    return value.startswith(("on", "y", "t", "e"))


def presets(user: str, home: str, shell: str, inbox: str, host: str) -> dict[str, str]:
    """What a user's variables are before the first line (procmailrc(5), "Environment variable defaults")."""
    return {
        "LOGNAME": user,
        "HOME": home,
        "SHELL": shell or "/bin/sh",
        "PATH": f"{home}/bin:/usr/local/bin:/usr/bin:/bin",
        "SHELLMETAS": "&|<>~;?*[",
        "SHELLFLAGS": "-c",
        "ORGMAIL": inbox,
        "MAILDIR": home,
        "DEFAULT": inbox,
        "MSGPREFIX": "msg.",
        "SENDMAIL": "/usr/sbin/sendmail",
        "SENDMAILFLAGS": "-oi",
        "HOST": host,
        "COMSAT": "no",
        "PROCMAIL_VERSION": "3.22",
        "LOCKEXT": ".lock",
        "LINEBUF": str(DEFAULT_LINEBUF),
    }


def absolute(path: str, directory: str) -> str:
    """A path seen from a directory."""
    return os.path.join(directory, path)
