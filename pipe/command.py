"""What a pipe service runs: the attributes of Postfix's pipe(8), `flags=... user=... size=... eol=... argv=...`.

Promises: an argument list is built without a shell; an address becomes one argument, or part of one, and never more;
one that begins with "-" where an argument begins is refused, because the command could take it for an option.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

KNOWN_FLAGS: Final = frozenset("BDFORXhqu.>")
_MACRO = re.compile(r"\$(?:\{([a-z_]+)\}|\(([a-z_]+)\)|([a-z_]+)|(\$))")
RECIPIENT_MACROS: Final = frozenset(("recipient", "user", "extension", "mailbox", "domain", "original_recipient"))
"""Macros of one recipient: an argument that has one is repeated for each."""
MESSAGE_MACROS: Final = frozenset(
    (
        "sender",
        "nexthop",
        "queue_id",
        "size",
        "envid",
        "client_address",
        "client_helo",
        "client_hostname",
        "client_port",
        "client_protocol",
        "sasl_method",
        "sasl_sender",
        "sasl_username",
    )
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


class CommandSyntaxError(ValueError):
    """The service's options are wrong; the text says what was expected."""


class UnsafeAddress(ValueError):
    """An address would become an option of the command."""


@dataclass(frozen=True, slots=True)
class PipeCommand:
    """The attributes of one service."""

    argv: tuple[str, ...]
    flags: frozenset[str] = field(default_factory=frozenset)
    user: str = ""
    size: int = 0
    """The largest message in bytes, 0 for any."""
    eol: bytes = b"\n"
    null_sender: str = "MAILER-DAEMON"
    directory: str = "/"

    @property
    def one_at_a_time(self) -> bool:
        """Whether each recipient needs a run of its own: its address goes into the header."""
        return bool(self.flags & {"D", "O"})

    def arguments(self, message: Mapping[str, str], recipients: Sequence[Mapping[str, str]]) -> list[str]:
        """The argument list for a message and its recipients' macros.  Raises UnsafeAddress."""
        arguments: list[str] = []
        for word in self.argv:
            names = macros_in(word)
            if names & RECIPIENT_MACROS:
                arguments += (_expand(word, {**message, **recipient}) for recipient in recipients)
            else:
                arguments.append(_expand(word, message))
        return arguments

    def check(self, recipient: Mapping[str, str]) -> None:
        """See that a recipient's macros make no option of an argument.  Raises UnsafeAddress."""
        for word in self.argv:
            if match := _MACRO.match(word):
                name = match[1] or match[2] or match[3]
                if name in RECIPIENT_MACROS:
                    _expand(match[0], recipient)


def macros_in(word: str) -> set[str]:
    """The macro names in one word of the command."""
    return {name for match in _MACRO.finditer(word) if (name := match[1] or match[2] or match[3])}


def _expand(word: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[4]:
            return "$"
        text = values[match[1] or match[2] or match[3]].replace("\0", "")
        if match.start() == 0 and text.startswith("-"):
            raise UnsafeAddress(f'"{text[:100]}" begins with "-"')
        return text

    return _MACRO.sub(value, word)


def parse_pipe_command(text: str) -> PipeCommand:
    """Read the attributes.  Raises CommandSyntaxError."""
    before, marker, after = _cut_argv(text)
    if not marker:
        raise CommandSyntaxError("argv=COMMAND is missing")
    try:
        words = _words(after)
        options = _words(before)
    except ValueError as error:
        raise CommandSyntaxError(f"quotes or braces are not closed: {error}") from None
    if not words:
        raise CommandSyntaxError("a command is missing after argv=")
    for word in words:
        for name in macros_in(word) - RECIPIENT_MACROS - MESSAGE_MACROS:
            raise CommandSyntaxError(f"${{{name}}} is no macro of a pipe service")
    values: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or name not in ("flags", "user", "size", "eol", "null_sender", "directory"):
            raise CommandSyntaxError(f'"{option}" is no attribute of a pipe service')
        values[name] = value
    flags = frozenset(values.get("flags", ""))
    if unknown := flags - KNOWN_FLAGS:
        raise CommandSyntaxError(f'unknown flag "{min(unknown)}"; known are {"".join(sorted(KNOWN_FLAGS))}')
    size = values.get("size", "0")
    if not size.isascii() or not size.isdigit() or len(size) > 18:
        raise CommandSyntaxError(f'size="{size}": a number of bytes was expected')
    return PipeCommand(
        argv=tuple(words),
        flags=flags,
        user=values.get("user", ""),
        size=int(size),
        eol=_unescape(values["eol"]).encode() if "eol" in values else b"\n",
        null_sender=values.get("null_sender", "MAILER-DAEMON"),
        directory=values.get("directory", "/"),
    )


def _words(text: str) -> list[str]:
    """Split at blanks; quotes hold words together, and so do braces around a word, as in Postfix's master.cf.  A
    backslash means nothing (eol has its own use for it).  Raises ValueError."""
    words: list[str] = []
    plain = position = 0
    while position < len(text):
        if text[position] != "{" or (position and not text[position - 1].isspace()):
            position += 1
            continue
        end = _closing_brace(text, position)
        words += [*_quoted_words(text[plain:position]), text[position + 1 : end].strip()]
        plain = position = end + 1
    return words + _quoted_words(text[plain:])


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == "{") - (text[position] == "}")
        if not depth:
            return position
    raise ValueError("a brace is not closed")


def _quoted_words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = ""
    return list(lexer)


def _cut_argv(text: str) -> tuple[str, str, str]:
    match = re.search(r"(?:^|\s)argv=", text)
    return (text[: match.start()], "argv=", text[match.end() :]) if match else (text, "", "")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
