"""The protocol of Redis (RESP 2), as far as a table needs it: one command, and an answer of one or several texts."""

from __future__ import annotations

from collections.abc import Iterable

from pillarbox.lib.tables.exchange import ProtocolFault, Refused

LINE_LIMIT = 1024
TEXT_LIMIT = 1 << 20
ITEMS_LIMIT = 10_000
"""Bytes of a line and of a text of an answer, and texts in one."""

Answer = tuple[bytes, ...] | None
"""The texts of an answer; None for "there is nothing"."""


def request(words: Iterable[bytes]) -> bytes:
    """A command with its arguments: an array of texts, so that nothing in an argument means anything."""
    words = tuple(words)
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def answer(received: bytes) -> tuple[Answer, int] | None:
    """What has come, and the bytes that it took; None where more must come.  Raises Refused, ProtocolFault."""
    kind = received[:1]
    if kind != b"*":
        return _one(received, 0)
    head = _number(received, 0)
    if head is None:
        return None
    count, position = head
    if count < 0:
        return None, position
    if count > ITEMS_LIMIT:
        raise ProtocolFault(f"at most {ITEMS_LIMIT} values were expected instead of {count}")
    texts: list[bytes] = []
    for number in range(count):
        try:
            found = _one(received, position)
        except Refused as error:
            if number == count - 1:
                raise
            # The rest of the answer is still to come: it must not be taken for that to the next request.
            raise ProtocolFault(str(error)) from None
        if found is None:
            return None
        item, position = found
        texts += item or ()
        if position > TEXT_LIMIT:
            raise ProtocolFault(f"an answer of at most {TEXT_LIMIT} bytes was expected")
    return tuple(texts) or None, position


def _one(received: bytes, position: int) -> tuple[Answer, int] | None:
    kind = received[position : position + 1]
    if not kind:
        return None
    if kind == b"$":
        head = _number(received, position)
        if head is None:
            return None
        size, start = head
        if size < 0:
            return None, start
        if size > TEXT_LIMIT:
            raise ProtocolFault(f"a value of at most {TEXT_LIMIT} bytes was expected instead of {size}")
        tail = received[start + size : start + size + 2]
        if not b"\r\n".startswith(tail):
            raise ProtocolFault("the end of the value was expected")
        return ((received[start : start + size],), start + size + 2) if len(tail) == 2 else None
    line = _line(received, position)
    if line is None:
        return None
    end = position + len(line) + 2
    if kind == b"-":
        raise Refused(f"redis server: {line[1:200].decode('utf-8', 'replace')}")
    if kind in (b"+", b":"):
        return (line[1:],), end
    raise ProtocolFault(f"an answer was expected instead of {line[:20]!r}")


def _number(received: bytes, position: int) -> tuple[int, int] | None:
    """The number behind the letter at `position`, and where the next line begins."""
    line = _line(received, position)
    if line is None:
        return None
    digits = line[1:]
    if not (digits == b"-1" or (digits.isdigit() and len(digits) <= 10)):
        raise ProtocolFault(f"a length was expected instead of {line[:20]!r}")
    return int(digits), position + len(line) + 2


def _line(received: bytes, position: int) -> bytes | None:
    end = received.find(b"\r\n", position, position + LINE_LIMIT)
    if end >= 0:
        return received[position:end]
    if len(received) - position >= LINE_LIMIT:
        raise ProtocolFault(f"a line of at most {LINE_LIMIT} bytes was expected")
    return None
