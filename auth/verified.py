"""Passwords that were right a moment ago, so that a client which logs in every minute costs no full check each time.

Keeps a digest keyed with a secret of this process, over the password and the stored hash: a changed password counts at
once, and memory shows nobody a password.  Wrong passwords are not remembered.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

LIMIT = 10_000
"""Users remembered, about 2 MB; beyond it the oldest is forgotten."""


class VerifiedPasswords:
    """The cache; entries live `ttl` seconds by `clock` (0: nothing is kept)."""

    def __init__(self, ttl: float, clock: Callable[[], float]) -> None:
        self._ttl = ttl
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: dict[str, tuple[float, bytes]] = {}

    def knows(self, username: str, password: str, stored: str) -> bool:
        """Whether this very password was verified against this very hash within the time to live."""
        entry = self._entries.get(username)
        if entry is None:
            return False
        if entry[0] <= self._clock():
            del self._entries[username]
            return False
        return hmac.compare_digest(entry[1], self._digest(password, stored))

    def remember(self, username: str, password: str, stored: str) -> None:
        """Note a password that was verified."""
        if self._ttl <= 0:
            return
        self._entries.pop(username, None)
        if len(self._entries) >= LIMIT:
            del self._entries[next(iter(self._entries))]
        self._entries[username] = (self._clock() + self._ttl, self._digest(password, stored))

    def _digest(self, password: str, stored: str) -> bytes:
        octets = password.encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, len(octets).to_bytes(4, "big") + octets + stored.encode(), "sha256")
