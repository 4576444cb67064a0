"""The protocol of tcp_table(5): `get KEY` asks, a line with a code answers: 200 VALUE, 500 not found, 400 error.

Characters that are not printable ASCII, blanks and `%` are written `%XX`.
"""

from __future__ import annotations

import re

from pillarbox.lib.tables.exchange import ProtocolFault, Refused

LINE_LIMIT = 4096
"""Bytes of an answer, line end included; the limit of the protocol."""

_PLAIN = frozenset(range(0x21, 0x7F)) - {0x25}
_QUOTED = re.compile(rb"%([0-9A-Fa-f]{2})|%")


def request(key: bytes) -> bytes:
    """The question for a key."""
    return b"get %b\n" % b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in key)


def line(received: bytes) -> tuple[bytes, int] | None:
    """The line that has come, without its end, and the bytes that it took; None where more must come.

    Raises ProtocolFault.
    """
    end = received.find(b"\n", 0, LINE_LIMIT)
    if end >= 0:
        return received[:end].removesuffix(b"\r"), end + 1
    if len(received) >= LINE_LIMIT:
        raise ProtocolFault(f"a line of at most {LINE_LIMIT} bytes was expected")
    return None


def answer(text: bytes) -> bytes | None:
    """The value that an answer gives, or None for "not found".  Raises Refused, ProtocolFault."""
    code, blank, rest = text[:3], text[3:4], text[4:]
    if not code.isdigit() or blank not in (b" ", b"\t"):
        raise ProtocolFault(f"a code of three digits and a blank were expected instead of {text[:20]!r}")
    if code[:1] == b"5":
        return None
    value = _QUOTED.sub(_unquoted, rest)
    if code[:1] == b"2":
        return value
    raise Refused(f"TCP map server error: {value[:200].decode('utf-8', 'replace')}")


def _unquoted(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise ProtocolFault("two hexadecimal digits were expected behind %")
    return bytes((int(found[1], 16),))
