"""The policy delegation protocol of Postfix without sockets: requests into bytes, bytes into answers.

Both are lines `name=value` that an empty line ends; the answer has one that counts, `action=...`.  Promises: a value
cannot forge a line; the answer is the same however its bytes are cut; what is longer than it may be is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ANSWER_LIMIT = 16 * 1024
"""Octets of one answer: several times the longest line that anybody would log."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PolicyProtocolError(Exception):
    """What came is no answer; the text says why."""


def encode_request(attributes: Iterable[tuple[str, str]]) -> bytes:
    """A request.  Control characters in values, which nothing legal has, become `?`."""
    lines = [f"{name}={_CONTROL.sub('?', value)}\n" for name, value in attributes]
    return "".join([*lines, "\n"]).encode("utf-8", "surrogateescape")


class AnswerReader:
    """Takes in the bytes of one answer."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def begun(self) -> bool:
        """Whether any of it has come."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> str | None:
        """The action, or None while the answer is not complete.  Raises PolicyProtocolError."""
        self._buffer += data
        end = self._end()
        if end < 0:
            if len(self._buffer) > ANSWER_LIMIT:
                raise PolicyProtocolError(f"the answer is longer than {ANSWER_LIMIT} octets")
            return None
        text, rest = self._buffer[:end], self._buffer[end:].lstrip(b"\r\n")
        if rest:
            raise PolicyProtocolError("something follows the answer")
        action: str | None = None
        for line in text.decode("utf-8", "replace").split("\n"):
            name, equals, value = line.rstrip("\r").partition("=")
            if not equals:
                raise PolicyProtocolError(f'"name=value" was expected, not "{line[:100]!r}"')
            if name.strip() == "action":
                if action is not None:
                    raise PolicyProtocolError("two actions in one answer")
                action = value.strip()
        if action is None:
            raise PolicyProtocolError("an answer without action")
        return action

    def _end(self) -> int:
        """Where the empty line begins; -1 where it has not come."""
        found = [end for mark in (b"\n\n", b"\n\r\n") if (end := self._buffer.find(mark)) >= 0]
        return min(found, default=-1)
