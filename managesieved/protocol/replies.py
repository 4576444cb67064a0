"""What the server says (RFC 5804 sections 1.2, 1.3 and 4): OK, NO and BYE with a code and a text, strings, lists."""

from __future__ import annotations

import re
from collections.abc import Iterable

QUOTED_LIMIT = 1024
"""Octets of a quoted string."""

_QUOTABLE = re.compile(rb"[^\x00\r\n]*")
_SPECIAL = re.compile(rb'(["\\])')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def literal(data: bytes) -> bytes:
    """`{n}` CRLF and the octets."""
    return b"{%d}\r\n%b" % (len(data), data)


def string(data: bytes) -> bytes:
    """string: quoted where it may be, else a literal."""
    if len(data) <= QUOTED_LIMIT // 2 and _QUOTABLE.fullmatch(data):
        return b'"%b"' % _SPECIAL.sub(rb"\\\1", data)
    return literal(data)


def status(condition: str, text: str = "", code: str = "", argument: bytes | None = None) -> bytes:
    """`OK (CODE "argument") "text"` CRLF."""
    parts = [condition.encode("ascii")]
    if code:
        parts.append(b"(%b)" % b" ".join((code.encode("ascii"), *(() if argument is None else (string(argument),)))))
    if text:
        parts.append(string(_CONTROL.sub(" ", text).encode("utf-8", "replace")))
    return b" ".join(parts) + b"\r\n"


def ok(text: str = "", code: str = "", argument: bytes | None = None) -> bytes:
    """It was done."""
    return status("OK", text, code, argument)


def no(text: str, code: str = "") -> bytes:
    """It was not done."""
    return status("NO", text, code)


def bye(text: str, code: str = "") -> bytes:
    """The server ends the connection."""
    return status("BYE", text, code)


def referral(server: str) -> bytes:
    """BYE with the URL of the server that has the scripts (section 1.3)."""
    return status("BYE", "The scripts of this account are on another server.", "REFERRAL", server.encode("ascii"))


def capability(pairs: Iterable[tuple[str, str | None]]) -> bytes:
    """The lines of the capabilities."""
    lines = []
    for name, value in pairs:
        words = (name,) if value is None else (name, value)
        lines.append(b" ".join(string(word.encode("utf-8")) for word in words) + b"\r\n")
    return b"".join(lines)


IDLE_TOO_LONG = bye("Disconnected for inactivity.")
STOPPING = bye("Server shutting down.", "TRYLATER")
TOO_MANY_ERRORS = bye("Too many invalid commands.")
GOOD_BYE = ok("Logout completed.")
NO_SCRIPTS = bye("The scripts of this account cannot be reached.", "TRYLATER")
