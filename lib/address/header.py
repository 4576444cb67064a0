"""The address grammar of header fields: RFC 5322 section 3.4 with the obsolete forms, read leniently.

Promises: every entry of the list comes out, either as a mailbox or as invalid text, none silently lost; groups are
flattened; comments and folding vanish; work is linear in the text.  Bare names (`root`) are mailboxes without
domain: the caller knows which domain to add.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pillarbox.lib.address.address import AddressSyntaxError, unquote_local
from pillarbox.lib.address.path import parse_mailbox

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<literal>\[(?:[^\[\]\\]|\\.)*\])
      | (?P<special>[<>,;:@.])
      | (?P<open>\()
      | (?P<atom>[^\x00-\x20<>,;:@.()"\[\]\\]+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_STEP = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_FOLD = re.compile(r"\r?\n[ \t]*|\r")


@dataclass(frozen=True, slots=True)
class HeaderMailbox:
    """One mailbox of a header: its display name (unquoted, RFC 2047 words left encoded) and its address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class AddressList:
    """What a header said: the mailboxes in order, and the entries that could not be read, as written."""

    mailboxes: tuple[HeaderMailbox, ...]
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """A lexical token, and where it ends in the text; a run of blanks and comments is one of the kind `blank`."""

    kind: str
    text: str
    end: int = field(default=0, compare=False)


def parse_address_list(text: str) -> AddressList:
    """Read the body of To, Cc, From and their like (unfolded or not)."""
    mailboxes: list[HeaderMailbox] = []
    invalid: list[str] = []
    for entry in _entries(tokens(text)):
        try:
            mailbox = _mailbox(entry)
        except AddressSyntaxError:
            invalid.append(_joined(entry).strip())
            continue
        if mailbox is not None:
            mailboxes.append(mailbox)
    return AddressList(tuple(mailboxes), tuple(invalid))


def tokens(text: str) -> Iterator[Token]:
    """The lexical tokens; a run of blanks and comments is one blank."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found is not None  # the last alternative takes any character
        kind = found.lastgroup or "other"
        position = found.end()
        if kind == "other" and found.group() in '"[':
            # It never ends, so the rest belongs to it; looking again from each later quote would be quadratic.
            yield Token("other", text[found.start() :], len(text))
            return
        if kind == "open":
            position = _skip_comment(text, position)
            kind = "blank"
        if kind == "blank":
            yield Token("blank", " ", position)
        else:
            yield Token(kind, found.group(), position)


def _skip_comment(text: str, position: int) -> int:
    """The position after the comment whose `(` was just read; comments nest (RFC 5322 section 3.2.2)."""
    depth = 1
    while depth and position < len(text):
        step = _COMMENT_STEP.match(text, position)
        if step is None:
            return len(text)  # a lone backslash at the end
        position = step.end()
        depth += {"(": 1, ")": -1}.get(step.group(), 0)
    return position


def _entries(tokens: Iterator[Token]) -> Iterator[list[Token]]:
    """Cut at commas and semicolons outside angle brackets; drop group names."""
    entry: list[Token] = []
    angle = False
    for token in tokens:
        if token.kind == "special":
            if token.text == "<":
                angle = True
            elif token.text == ">":
                angle = False
            elif token.text == ":" and not angle:
                entry = []  # what stood here was a group's display name
                continue
            elif token.text == ";" or (token.text == "," and not angle):
                angle = False
                yield entry
                entry = []
                continue
        entry.append(token)
    yield entry


def _mailbox(entry: list[Token]) -> HeaderMailbox | None:
    """The mailbox that the tokens make, None for an empty entry.  Raises AddressSyntaxError."""
    opening = next((i for i, token in enumerate(entry) if token == Token("special", "<")), None)
    if opening is None:
        specification = _trimmed(entry)
        if not specification:
            return None
        return HeaderMailbox("", _address(specification))
    closing = next((i for i in range(opening, len(entry)) if entry[i] == Token("special", ">")), len(entry))
    inside = _trimmed(entry[opening + 1 : closing])
    if _trimmed(entry[closing + 1 :]) or not inside:
        raise AddressSyntaxError("text after the address, or no address")
    return HeaderMailbox(_phrase(entry[:opening]), _address(_without_route(inside)))


def _phrase(tokens: list[Token]) -> str:
    words = (unquote_local(token.text) if token.kind == "quoted" else token.text for token in tokens)
    return " ".join(_FOLD.sub(" ", "".join(words)).split())


def _without_route(tokens: list[Token]) -> list[Token]:
    """obs-route: `@one,@two:` before the address."""
    if tokens[0] == Token("special", "@"):
        for index, token in enumerate(tokens):
            if token == Token("special", ":"):
                return _trimmed(tokens[index + 1 :])
    return tokens


def _address(tokens: list[Token]) -> str:
    """Join addr-spec tokens: blanks count only beside dots and the @ (obs-local-part), where they mean nothing."""
    parts: list[Token] = []
    for token in tokens:
        if token.kind == "blank":
            continue
        if parts and parts[-1].kind != "special" and token.kind != "special":
            raise AddressSyntaxError("words side by side are not an address")
        parts.append(token)
    at = next((i for i, token in enumerate(parts) if token == Token("special", "@")), len(parts))
    local = _local_part(parts[:at])
    if at == len(parts):
        return str(parse_mailbox(local, allow_bare=True))
    return str(parse_mailbox(local + "@" + "".join(token.text for token in parts[at + 1 :])))


def _local_part(parts: list[Token]) -> str:
    """Words and dots; where any word is quoted, all of it becomes one quoted string."""
    if not any(token.kind == "quoted" for token in parts):
        return "".join(token.text for token in parts)
    plain = "".join(unquote_local(_FOLD.sub("", token.text)) for token in parts)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _trimmed(tokens: list[Token]) -> list[Token]:
    first, last = 0, len(tokens)
    while first < last and tokens[first].kind == "blank":
        first += 1
    while last > first and tokens[last - 1].kind == "blank":
        last -= 1
    return tokens[first:last]


def _joined(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)
