"""What each command takes: a table, and the tokens of a line read by it (RFC 5804 section 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pillarbox.managesieved.protocol.reader import Atom, Line, Oversize, String, Token

NUMBER_LIMIT: Final = 2**32 - 1
"""number: an unsigned 32-bit integer."""

Argument = str | bytes | int | Oversize


class BadCommand(Exception):
    """The line is no command; the text says why."""


def name(token: Token) -> str:
    """sieve-name: a string in UTF-8.  Whether a script can be called so is not asked here."""
    if not isinstance(token, String):
        raise BadCommand("a name is a string")
    try:
        return token.octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand("a name is UTF-8") from None


def octets(token: Token) -> bytes:
    """string."""
    if not isinstance(token, String):
        raise BadCommand("a string was expected")
    return token.octets


def script(token: Token) -> bytes | Oversize:
    """sieve-script; it may be one that was too large to be kept."""
    return token if isinstance(token, Oversize) else octets(token)


def number(token: Token) -> int:
    """number."""
    if not (isinstance(token, Atom) and token.text.isdecimal() and len(token.text) <= 10):
        raise BadCommand("a number was expected")
    value = int(token.text)
    if value > NUMBER_LIMIT:
        raise BadCommand(f"the largest number is {NUMBER_LIMIT}")
    return value


def word(token: Token) -> str:
    """auth-type: a string of ASCII characters."""
    try:
        return octets(token).decode("ascii")
    except UnicodeDecodeError:
        raise BadCommand("the name of a mechanism is ASCII") from None


Kind = Callable[[Token], Argument]


@dataclass(frozen=True, slots=True)
class Form:
    """The arguments of a command; the last `optional` of them may be missing."""

    kinds: tuple[Kind, ...] = ()
    optional: int = 0


FORMS: Final[dict[str, Form]] = {
    "AUTHENTICATE": Form((word, octets), optional=1),
    "STARTTLS": Form(),
    "LOGOUT": Form(),
    "CAPABILITY": Form(),
    "HAVESPACE": Form((name, number)),
    "PUTSCRIPT": Form((name, script)),
    "LISTSCRIPTS": Form(),
    "SETACTIVE": Form((name,)),
    "GETSCRIPT": Form((name,)),
    "DELETESCRIPT": Form((name,)),
    "RENAMESCRIPT": Form((name, name)),
    "CHECKSCRIPT": Form((script,)),
    "NOOP": Form((octets,), optional=1),
    "UNAUTHENTICATE": Form(),
}


def parse(line: Line) -> tuple[str, tuple[Argument, ...]]:
    """The command and its arguments.  Raises BadCommand."""
    if not line.tokens or not isinstance(line.tokens[0], Atom):
        raise BadCommand("a command was expected")
    verb, given = line.tokens[0].text.upper(), line.tokens[1:]
    form = FORMS.get(verb)
    if form is None:
        raise BadCommand("unknown command")
    if not len(form.kinds) - form.optional <= len(given) <= len(form.kinds):
        raise BadCommand(f"{verb} has another number of arguments")
    return verb, tuple(kind(token) for kind, token in zip(form.kinds, given, strict=False))


def response(line: Line) -> bytes:
    """The client's response in an exchange of SASL: one string.  Raises BadCommand."""
    if len(line.tokens) != 1:
        raise BadCommand("a response is one string")
    return octets(line.tokens[0])
