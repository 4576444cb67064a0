"""One-time tokens: how a login part hands a proved identity to a session part that does not have to trust it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from pillarbox.lib.clients.auth import Account

LIFETIME = 30.0
"""Seconds from login to redemption; a session part that takes longer is in trouble anyway."""

SIZE = 16
"""Random octets: 128 bits."""

LIMIT = 10_000
"""Tokens out at once; far more than logins in 30 seconds.  Beyond it the oldest are forgotten."""


class TokenTable:
    """The tokens that are out.  Time comes from `clock`, in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens: dict[str, tuple[float, str, Account]] = {}

    def issue(self, service: str, account: Account) -> str:
        """A fresh token, 32 hex digits, that stands for `account` in the session part of `service`."""
        now = self._clock()
        # Insertion order is expiry order: the dead ones are at the front.
        while self._tokens:
            oldest = next(iter(self._tokens))
            if self._tokens[oldest][0] > now and len(self._tokens) < LIMIT:
                break
            del self._tokens[oldest]
        token = secrets.token_hex(SIZE)
        self._tokens[token] = (now + LIFETIME, service, account)
        return token

    def redeem(self, token: str, service: str) -> Account | None:
        """The account, once; None for a token that is unknown, used, too old or of another service."""
        expires, issued_for, account = self._tokens.pop(token, (0.0, "", None))
        return account if account and issued_for == service and self._clock() < expires else None

    def __len__(self) -> int:
        return len(self._tokens)
