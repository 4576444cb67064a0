"""The text protocol of memcached, as far as a table needs it: `get` and `set` of one key."""

from __future__ import annotations

import re
from collections.abc import Callable

from pillarbox.lib.tables.exchange import ProtocolFault, Refused

KEY_LIMIT = 250
"""Bytes of a key; the server takes no longer ones."""

_VALUE = re.compile(rb"VALUE (\S+) (\d{1,10}) (\d{1,10})(?: \d+)?\Z")
_END = b"\r\nEND\r\n"


def is_key(key: bytes) -> bool:
    """Whether a key can be there at all: no blanks, no control characters, not too long."""
    return 0 < len(key) <= KEY_LIMIT and not any(byte <= 32 or byte == 127 for byte in key)


def get(key: bytes) -> bytes:
    """The question for a key."""
    return b"get %b\r\n" % key


def put(key: bytes, value: bytes, flags: int, seconds: int) -> bytes:
    """Store a value for so many seconds; 0 = as long as there is room."""
    return b"set %b %d %d %d\r\n%b\r\n" % (key, flags, seconds, len(value), value)


def got(key: bytes, *, line_limit: int, data_limit: int) -> Callable[[bytes], tuple[bytes | None, int] | None]:
    """The protocol of an answer to `get`: the value or None, and the bytes that it took.

    Raises Refused, ProtocolFault, the latter also for the value of another key.
    """

    def read(received: bytes) -> tuple[bytes | None, int] | None:
        line = _line(received, line_limit)
        if line is None:
            return None
        if line == b"END":
            return None, len(line) + 2
        found = _VALUE.match(line)
        if found is None:
            raise _no_answer(line)
        if found[1] != key:
            raise ProtocolFault(f"the value of another key, {found[1][:50]!r}, came")
        size = int(found[3])
        if size > data_limit:
            raise ProtocolFault(f"a value of at most {data_limit} bytes was expected instead of {size}")
        start = len(line) + 2
        end = start + size + len(_END)
        tail = received[start + size : end]
        if not _END.startswith(tail):
            raise ProtocolFault("the end of the value was expected")
        return (received[start : start + size], end) if len(tail) == len(_END) else None

    return read


def stored(line_limit: int) -> Callable[[bytes], tuple[bool, int] | None]:
    """The protocol of an answer to `set`: whether it was done.  Raises Refused, ProtocolFault."""

    def read(received: bytes) -> tuple[bool, int] | None:
        line = _line(received, line_limit)
        if line is None:
            return None
        if line not in (b"STORED", b"NOT_STORED"):
            raise _no_answer(line)
        return line == b"STORED", len(line) + 2

    return read


def _line(received: bytes, limit: int) -> bytes | None:
    end = received.find(b"\r\n", 0, limit + 2)
    if end >= 0:
        return received[:end]
    if len(received) > limit + 1:
        raise ProtocolFault(f"a line of at most {limit} bytes was expected")
    return None


def _no_answer(line: bytes) -> Exception:
    shown = line[:100].decode("utf-8", "replace")
    if line == b"ERROR" or line.startswith((b"CLIENT_ERROR", b"SERVER_ERROR")):
        return Refused(f"memcache server: {shown}")
    return ProtocolFault(f'unexpected answer "{shown}"')
