"""The socketmap protocol of Sendmail, socketmap_table(5): one netstring asks, one answers.

12:people ann@x,      ->      OK VALUE | NOTFOUND | TEMP WHY | TIMEOUT WHY | PERM WHY
"""

from __future__ import annotations

from pillarbox.lib.tables.exchange import ProtocolFault, Refused

ANSWER_LIMIT = 100_000
"""Bytes of an answer, without the netstring around it; Postfix takes as many."""

_FAILURES = {b"TEMP": "temporary error", b"TIMEOUT": "timeout", b"PERM": "permanent error"}


def request(name: bytes, key: bytes) -> bytes:
    """The question for a key in the map `name`."""
    text = name + b" " + key
    return b"%d:%b," % (len(text), text)


def netstring(received: bytes) -> tuple[bytes, int] | None:
    """The content of the netstring that has come, and the bytes that it took; None where more must come.

    Raises ProtocolFault.
    """
    size, colon, rest = received.partition(b":")
    if not size.isdigit() or len(size) > len(str(ANSWER_LIMIT)) or (size[:1] == b"0" and len(size) > 1):
        if not colon and not size:
            return None
        raise ProtocolFault(f"a netstring was expected instead of {received[:20]!r}")
    length = int(size)
    if length > ANSWER_LIMIT:
        raise ProtocolFault(f"an answer of at most {ANSWER_LIMIT} bytes was expected")
    if not colon or len(rest) <= length:
        return None
    if rest[length : length + 1] != b",":
        raise ProtocolFault("a comma was expected at the end of the netstring")
    return rest[:length], len(size) + 1 + length + 1


def answer(text: bytes) -> bytes | None:
    """The value that an answer gives, or None for "not found".  Raises Refused."""
    word, _, rest = text.partition(b" ")
    if word == b"OK":
        return rest
    if word == b"NOTFOUND":
        return None
    what = _FAILURES.get(word, f"unknown answer {word[:20]!r}")
    reason = rest.strip()[:200].decode("utf-8", "replace")
    raise Refused(f"socketmap server {what}{': ' if reason else ''}{reason}")
