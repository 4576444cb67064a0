"""The right-hand side of an alias, a line of a `.forward` file or of an `:include:` file (aliases(5)).

A list of targets separated by commas: an address, `/file` (`/directory/` is a Maildir), `|command`, `:include:/path`.
Blanks separate as well, but not in a command nor beside an address in angle brackets.  A target with blanks or commas
stands in double quotes, as a whole (`"|prog a, b"`) or behind its first character (`|"prog a, b"`).  `\\user` is the
user's own mailbox.  Text in parentheses is a comment, and so is a line that begins with `#`; no comment stands behind a
target.

Promises: linear in the text; a target is never guessed: what is not one of the four raises AliasSyntaxError.
Does not: complete or check addresses (the caller knows the domain), look anything up, split lines of table files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from pillarbox.lib.address import AddressSyntaxError, parse_mailbox


class AliasSyntaxError(ValueError):
    """A target that cannot be read; the text says what was expected."""


class Kind(Enum):
    """What a target is."""

    ADDRESS = "address"
    FILE = "file"
    COMMAND = "command"
    INCLUDE = "include"


@dataclass(frozen=True, slots=True)
class Target:
    """One target.  `value` is the address in RFC 5321 form (perhaps without domain), the path, or the command's text.

    `literal` marks an address written with a backslash before it: the user's mailbox, no further expansion.
    """

    kind: Kind
    value: str
    literal: bool = False


def parse_targets(text: str) -> tuple[Target, ...]:
    """The targets of one right-hand side.  Raises AliasSyntaxError."""
    return tuple(_target(*item) for item in _split(text))


def parse_lines(text: str) -> tuple[Target, ...]:
    """The targets of a `.forward` or `:include:` file: every line is a list, `#` at its start makes it a comment.

    Raises AliasSyntaxError, which names the line.
    """
    targets: list[Target] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            targets += parse_line(line)
        except AliasSyntaxError as error:
            raise AliasSyntaxError(f"line {number}: {error}") from None
    return tuple(targets)


def parse_line(line: str) -> tuple[Target, ...]:
    """The targets of one line of such a file.  Raises AliasSyntaxError."""
    return () if line.lstrip().startswith("#") else parse_targets(line)


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """The items between commas, without comments and surrounding blanks; the flag says "begins with a quote"."""
    item: list[str] = []
    quoted = False
    depth = 0
    position = 0
    while position < len(text):
        character = text[position]
        if depth:
            if character == "\\":
                position += 1
            else:
                depth += (character == "(") - (character == ")")
        elif quoted:
            item.append(character)
            if character == "\\" and position + 1 < len(text):
                position += 1
                item.append(text[position])
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
            item.append(character)
        elif character == "(" and not _is_command(item):
            depth = 1
            item.append(" ")
        elif character == ",":
            yield from _finished(item)
            item = []
        else:
            item.append(character)
        position += 1
    if quoted:
        raise AliasSyntaxError(f"a quote is not closed: {text.strip()[:100]}")
    if depth:
        raise AliasSyntaxError(f"a comment is not closed: {text.strip()[:100]}")
    yield from _finished(item)


def _is_command(item: list[str]) -> bool:
    """Parentheses in `|command` belong to the command."""
    return "".join(item).lstrip().startswith(("|", "/"))


def _finished(item: list[str]) -> Iterator[tuple[str, bool]]:
    text = "".join(item).strip()
    if not text:
        return
    words = [text] if text.startswith("|") or '"' in text or "<" in text else text.split()
    for word in words:
        if word.startswith("#"):
            raise AliasSyntaxError(
                f'a comment is a line that begins with "#", it cannot stand behind a target: {text[:100]}'
            )
        yield word, word.startswith('"')


def _unquoted(text: str) -> str:
    """The content of a quoted string."""
    content = []
    position = 1
    while position < len(text) - 1:
        if text[position] == "\\" and position + 1 < len(text) - 1:
            position += 1
        content.append(text[position])
        position += 1
    return "".join(content)


def _is_quoted_whole(text: str) -> bool:
    """Whether `text` is one quoted string and nothing after it."""
    position = 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == '"':
            return position == len(text) - 1
        position += 1
    return False


def _target(text: str, quoted: bool) -> Target:
    if any(character < " " and character != "\t" for character in text):
        raise AliasSyntaxError("a target contains a control character")
    content = _unquoted(text) if quoted and _is_quoted_whole(text) else text
    if content.startswith("|"):
        command = content[1:].strip()
        if content is text and len(command) > 1 and command[0] == '"' and _is_quoted_whole(command):
            command = _unquoted(command).strip()
        if not command:
            raise AliasSyntaxError("a command is missing after |")
        return Target(Kind.COMMAND, command)
    if content.startswith("/"):
        return Target(Kind.FILE, content)
    if content.lower().startswith(":include:"):
        path = content[len(":include:") :].strip()
        if len(path) > 1 and path[0] == '"' and _is_quoted_whole(path):
            path = _unquoted(path)
        if not path.startswith("/"):
            raise AliasSyntaxError(f"an absolute path is expected after :include:, not: {path[:100]}")
        return Target(Kind.INCLUDE, path)
    return _address(text)


def _address(text: str) -> Target:
    literal = text.startswith("\\")
    if literal:
        text = text[1:].strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip()
    elif text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1].strip()
    try:
        return Target(Kind.ADDRESS, str(parse_mailbox(text, allow_bare=True)), literal)
    except AddressSyntaxError as error:
        raise AliasSyntaxError(f'"{text[:100]}" is not an address: {error}') from None
