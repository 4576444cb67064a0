"""Which domains have accounts, for as long as the account database does not change: a foreign domain, of which every
message names another, then costs no question to the auth service.

This program may not read the database, but it sees when the file was written last.  The answer is exact: a domain whose
first account was made a moment ago is found.  Nothing is kept of a file that has been written to within SETTLED, which
might be written to again without bearing another time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.clients.auth import AuthClient

LIMIT = 20_000
"""Domains kept; where there are more, each is asked for."""

SETTLED = 1.0
"""Seconds, more than a file system's clock is coarse."""

State = tuple[int, int, int]


class AccountDomains:
    """May be used by several threads at once, `ask` by one at a time.  `clock` in seconds since the epoch."""

    def __init__(self, database: str, client: AuthClient, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._client = client
        self._clock = clock
        self._known: tuple[State, frozenset[str] | None] | None = None
        """At which state of the database, and the domains; None: too many."""

    def has(self, domain: str) -> bool | None:
        """Whether there are accounts in a domain; None: it must be asked."""
        known = self._known
        if known is None or known[1] is None or known[0] != self._state():
            return None
        return normalize_domain(domain) in known[1]

    def ask(self, domain: str) -> bool:
        """The same from the auth service, with all others for the next question.  Raises ServiceUnavailable."""
        state = self._state()
        if state is not None and (self._known is None or self._known[0] != state) and self._settled(state):
            self._known = state, self._all()
        found = self.has(domain)  # the file may have changed meanwhile
        return self._client.domain(domain) if found is None else found

    def _all(self) -> frozenset[str] | None:
        found: set[str] = set()
        while more := self._client.domains(after=max(found, default="")):
            found.update(more)
            if len(found) > LIMIT:
                return None
        return frozenset(found)

    def _state(self) -> State | None:
        try:
            status = os.stat(self._database)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _settled(self, state: State) -> bool:
        return self._clock() - state[0] / 1e9 > SETTLED
