"""TLS sessions that a client keeps, to resume them with the next connection to the same server (RFC 8446 section 2.2).

A session is found again only by who asks for exactly the same: the same server and name, the same policy, the same
context.  So what was found out about a certificate in the first handshake holds for the resumed one.  A session of TLS
1.3 is used once (RFC 8446 appendix C.4): whoever takes one takes it away.

A resumed handshake brings a session for the next one, and no certificate is looked at.  So all that go back to one
examination of a certificate end together, `lifetime` seconds after it (RFC 8446 section 4.6.1).
"""

from __future__ import annotations

import ssl
from collections.abc import Hashable
from typing import NamedTuple

from pillarbox.lib.dns.types import Clock


class Resumable(NamedTuple):
    """A session for one handshake."""

    session: ssl.SSLSession
    examined: float
    """When the certificate was looked at, by the cache's clock; to be handed back with what comes of it (`put`)."""


class _Kept(NamedTuple):
    over: float
    examined: float
    context: ssl.SSLContext
    session: ssl.SSLSession


class SessionCache:
    """At most `limit` sessions, until `lifetime` seconds after their server was examined; the oldest make way."""

    def __init__(self, limit: int, lifetime: float, clock: Clock) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._clock = clock
        self._kept: dict[Hashable, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, key: Hashable, context: ssl.SSLContext) -> Resumable | None:
        """The session for a handshake under `context`, which is then forgotten here."""
        kept = self._kept.pop(key, None)
        if kept is None or kept.context is not context or kept.over <= self._clock():
            return None
        return Resumable(kept.session, kept.examined)

    def put(self, key: Hashable, session: ssl.SSLObject, resumed: Resumable | None = None) -> None:
        """Keep what can be resumed of a session whose server was found to be the right one, now or when the session
        that it has `resumed` began."""
        if self._limit <= 0:
            return
        found = session.session
        if found is None or not (found.has_ticket or found.id):
            return
        now = self._clock()
        examined = resumed.examined if resumed is not None and session.session_reused else now
        over = min(examined + self._lifetime, now + (found.ticket_lifetime_hint or self._lifetime))
        self._kept.pop(key, None)
        while len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Kept(over, examined, session.context, found)
