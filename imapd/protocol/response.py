"""What the server says (RFC 9051 section 7): strings, names and lists in wire form.

A string goes out quoted where that is legal and short, else as a literal; nothing a message contains can break a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pillarbox.lib.store import mutf7

PLAIN = re.compile(rb"[\x20\x21\x23-\x5b\x5d-\x7e]*")
"""What can stand between quotes as it is."""
_QUOTABLE = re.compile(rb"[\x20-\x7e]*")
_ESCAPE = re.compile(rb'(["\\])')
_ASTRING = re.compile(rb"[A-Za-z0-9!#$&'+,\-./:;<=>?@^_`|~]+")
QUOTED_LIMIT = 1000
"""Octets of a quoted string; longer ones go as literals (some clients have line buffers)."""

NIL = b"NIL"


def literal(data: bytes) -> bytes:
    """`{n}` CRLF and the octets; NUL, which a literal must not hold, becomes 0x80."""
    if b"\0" in data:
        data = data.replace(b"\0", b"\x80")
    return b"{%d}\r\n%b" % (len(data), data)


def string(data: bytes) -> bytes:
    """string: quoted where possible."""
    if len(data) <= QUOTED_LIMIT:
        if PLAIN.fullmatch(data):
            return b'"%b"' % data
        if _QUOTABLE.fullmatch(data):
            return b'"%b"' % _ESCAPE.sub(rb"\\\1", data)
    return literal(data)


def nstring(data: bytes | None) -> bytes:
    """nstring: NIL for None."""
    return NIL if data is None else string(data)


def astring(data: bytes) -> bytes:
    """astring: bare where nothing in it is special."""
    return data if _ASTRING.fullmatch(data) and data.upper() != NIL else string(data)


def mailbox(name: str) -> bytes:
    """A mailbox name in modified UTF-7 (RFC 3501 section 5.1.3)."""
    return astring(mutf7.encode(name).encode("ascii"))


def utf8_mailbox(name: str) -> bytes:
    """A mailbox name in UTF-8, for a client that has enabled it (RFC 9051 section 5.1, RFC 6855 section 3)."""
    raw = name.encode("utf-8", "surrogateescape")
    return astring(raw) if raw.isascii() else b'"%b"' % _ESCAPE.sub(rb"\\\1", raw)


def parenthesized(items: Iterable[bytes]) -> bytes:
    """`(a b c)`."""
    return b"(" + b" ".join(items) + b")"


def printable(text: str) -> bytes:
    """resp-text for people: ASCII without line ends."""
    return re.sub(rb"[^\x20-\x7e]", b"?", text.encode("utf-8", "replace"))


def status(tag: bytes, condition: bytes, text: str, code: str = "") -> bytes:
    """`tag OK [CODE] text` CRLF; `*` as tag makes it untagged."""
    if code:
        return b"%b %b [%b] %b\r\n" % (tag, condition, code.encode("ascii"), printable(text))
    return b"%b %b %b\r\n" % (tag, condition, printable(text))


def untagged(*parts: bytes) -> bytes:
    """`* part part` CRLF."""
    return b"* " + b" ".join(parts) + b"\r\n"


def continuation(text: bytes = b"") -> bytes:
    """`+ text` CRLF."""
    return b"+ " + text + b"\r\n"
