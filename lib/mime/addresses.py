"""Address lists of header fields (RFC 5322 section 3.4, with the obsolete forms) as ENVELOPE shows them.

Lenient: whatever stands there becomes an address, so that the reader sees it; nothing is validated or decoded.
`pillarbox.lib.address.header` is the strict reader for mail that is to be sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pillarbox.lib.mime.limits import ADDRESS_LIMIT

MISSING_HOST = b"missing-host.invalid"
"""Host of an address without one: NIL there would mean group syntax (RFC 9051 section 7.5.2)."""


class Address(NamedTuple):
    """One address.  A group begins with (None, None, NAME, None) and ends with four Nones."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END = Address(None, None, None, None)

_TOKEN = re.compile(
    rb"""[ \t\r\n]+                       # FWS
    | "(?P<quoted>(?:[^"\\]|\\.)*)(?:"|\Z)
    | (?P<comment>\()
    | (?P<special>[<>,:;@])
    | (?P<atom>\[[^\]<>]*\]?|[^ \t\r\n"(<>,:;@\[]+)
    | .""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_STOP = re.compile(rb"\\.|[()]", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_FOLD = re.compile(rb"\r?\n")
# What nearly all mail has: NAME <mailbox@host>, or mailbox@host, alone or between commas.
_SIMPLE = re.compile(
    rb'\s*(?:(?:"(?P<quoted>[^"\\\r\n]*)"|(?P<name>[^"<>(),:;@\\\[\]\r\n]*?))\s*<(?P<m1>[^<>()\s,;:@"\\\[\]]+)@(?P<h1>[^<>()\s,;:@"\\\[\]]+)>'
    rb'|(?P<m2>[^<>()\s,;:@"\\\[\]]+)@(?P<h2>[^<>()\s,;:@"\\\[\]]+))\s*'
)


def _unescape(text: bytes) -> bytes:
    text = _FOLD.sub(b"", text)
    return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text


def _comment(value: bytes, position: int) -> tuple[bytes, int]:
    """The text of the comment whose "(" ends before `position`, and where it ends."""
    depth, start = 1, position
    while depth:
        stop = _COMMENT_STOP.search(value, position)
        if stop is None:
            return value[start:], len(value)
        position = stop.end()
        depth += {b"(": 1, b")": -1}.get(stop.group(), 0)
    return value[start : position - 1], position


_Token = tuple[str, bytes]  # kind: "word" (name part), "comment" or the special itself


def _tokens(value: bytes) -> Iterator[_Token]:
    position, end = 0, len(value)
    while position < end:
        found = _TOKEN.match(value, position)
        assert found is not None  # the last alternative takes any octet
        position = found.end()
        match found.lastgroup:
            case "quoted":
                yield "quoted", _unescape(found["quoted"])
            case "comment":
                text, position = _comment(value, position)
                yield "comment", _unescape(text)
            case "special":
                yield found.group().decode("ascii"), b""
            case "atom":
                yield "atom", found["atom"]


def _simple_addresses(value: bytes) -> tuple[Address, ...] | None:
    """A list of nothing but what nearly all mail has; None for any other."""
    found: list[Address] = []
    position, end = 0, len(value)
    while len(found) < ADDRESS_LIMIT:
        one = _SIMPLE.match(value, position)
        if one is None:
            return None
        quoted, name, mailbox, host, bare, bare_host = one.groups()
        if bare is not None:
            found.append(Address(None, None, bare, bare_host))
        else:
            name = quoted if quoted is not None else b" ".join(name.split())
            found.append(Address(name or None, None, mailbox, host))
        position = one.end()
        if position == end:
            return tuple(found)
        if value[position] != 44:  # a comma
            return None
        position += 1
    return None


def parse_addresses(value: bytes) -> tuple[Address, ...]:
    """The addresses of a field's value, folded or not."""
    simple = _simple_addresses(value)
    if simple is not None:
        return simple
    reader = _Reader()
    for kind, text in _tokens(value):
        reader.take(kind, text)
        if len(reader.found) >= ADDRESS_LIMIT:
            break
    return reader.finish()


class _Reader:
    """The state of reading one list, token by token."""

    def __init__(self) -> None:
        self.found: list[Address] = []
        self.group = False
        self._clear()

    def _clear(self) -> None:
        self.words: list[tuple[str, bytes]] = []  # outside of <>: phrase or addr-spec
        self.spec: list[tuple[str, bytes]] | None = None  # inside of <>
        self.closed = False
        self.comment: bytes | None = None

    def take(self, kind: str, text: bytes) -> None:
        if kind == "comment":
            self.comment = text.strip()
        elif self.spec is not None and not self.closed:
            if kind == ">":
                self.closed = True
            elif kind == "," and self._in_route():
                self.spec.append((kind, text))  # <@a,@b:c@d>
            elif kind in (",", ";"):  # a ">" is missing
                self.closed = True
                self.take(kind, text)
            else:
                self.spec.append((kind, text))
        elif kind == "<":
            self.spec = []
        elif kind == ",":
            self._end()
        elif kind == ":" and not self.group and self.spec is None and not any(k == "@" for k, _ in self.words):
            name = b" ".join(word for _, word in self.words)
            self.found.append(Address(None, None, name, None))
            self.group = True
            self._clear()
        elif kind == ";":
            self._end()
            if self.group:
                self.found.append(GROUP_END)
                self.group = False
        elif kind != ">" and not self.closed:
            self.words.append((kind, text))

    def _in_route(self) -> bool:
        spec = self.spec or []
        return bool(spec) and spec[0][0] == "@" and not any(kind == ":" for kind, _ in spec)

    def _end(self) -> None:
        if self.spec is not None:
            name = b" ".join(word for kind, word in self.words if kind in ("atom", "quoted")) or self.comment
            self._add(name, self.spec)
        elif self.words:
            self._add(self.comment, self.words)
        self._clear()

    def _add(self, name: bytes | None, spec: list[tuple[str, bytes]]) -> None:
        route = None
        colons = [i for i, (kind, _) in enumerate(spec) if kind == ":"]
        if colons and spec[0][0] == "@":
            route = _join(spec[: colons[0]])
            spec = spec[colons[0] + 1 :]
        ats = [i for i, (kind, _) in enumerate(spec) if kind == "@"]
        if ats:
            mailbox, host = _join(spec[: ats[-1]]), _join(spec[ats[-1] + 1 :])
        else:
            mailbox, host = _join(spec, b" "), b""
        if mailbox or host or name:
            self.found.append(Address(name or None, route, mailbox, host or MISSING_HOST))

    def finish(self) -> tuple[Address, ...]:
        self._end()
        if self.group:
            self.found.append(GROUP_END)
        return tuple(self.found)


def _join(spec: list[tuple[str, bytes]], between: bytes = b"") -> bytes:
    return between.join(text if kind in ("atom", "quoted") else kind.encode("ascii") for kind, text in spec)
