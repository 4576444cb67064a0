"""What was worked out of messages, for as long as the mailbox is open."""

from __future__ import annotations

from typing import Final

from pillarbox.lib.store.interface import MessageCache

_MOST: Final = 256 * 1024
"""Octets of values that one open mailbox holds: a session among thousands."""


class MemoryCache(MessageCache):
    """Forgets what was put in first when it has become too much."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int], bytes] = {}
        self._size = 0

    def get(self, field: str, uid: int) -> bytes | None:
        return self._values.get((field, uid))

    def put(self, field: str, uid: int, value: bytes) -> None:
        if len(value) > _MOST // 4:
            return
        self._size += len(value) - len(self._values.pop((field, uid), b""))
        self._values[field, uid] = value
        while self._size > _MOST:
            oldest = next(iter(self._values))
            self._size -= len(self._values.pop(oldest))
