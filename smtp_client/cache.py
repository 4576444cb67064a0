"""Conversations kept open for the next delivery.

A connection is found by its next hop (no DNS look-up at all then, only for servers of the best preference) or by its
server's address (several domains on one server).  It is idle for a moment at most, in use for some minutes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from pillarbox.lib.sasl.client import Credentials
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.terms import Terms

IDLE_LIMIT = 200
"""Idle connections of one process; each holds a descriptor here and a process or slot over there."""


class ConnectionCache:
    """Idle connections.  Ages are measured with the event loop's clock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # oldest first
        self._by_destination: dict[str, list[Connection]] = {}
        self._by_server: dict[str, list[Connection]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.closing = False
        """While the process drains, nothing is kept."""

    def __len__(self) -> int:
        return len(self._idle)

    def knows(self, destination: str) -> bool:
        """Whether there is any idle connection for a next hop."""
        return destination in self._by_destination

    def knows_server(self, server: str) -> bool:
        """Whether there is any to a server, by its key."""
        return server in self._by_server

    def take_destination(self, destination: str, terms: Terms) -> Connection | None:
        """An idle connection for a next hop, the most recently used one, that fulfils the terms."""
        for connection in reversed(self._by_destination.get(destination, ())):
            if terms.fulfilled_by(connection.terms) and self._take(connection):
                return connection
        return None

    def take_server(self, server: str, terms: Terms, login: Credentials | None) -> Connection | None:
        """An idle connection to a server by its key, logged in as `login` says."""
        for connection in reversed(self._by_server.get(server, ())):
            if connection.login == login and terms.fulfilled_by(connection.terms) and self._take(connection):
                return connection
        return None

    def _take(self, connection: Connection) -> bool:
        self._forget(connection)
        if connection.alive:
            return True
        connection.quit()
        return False

    def put(self, connection: Connection) -> None:
        """Keep a connection, or part with it where it may not be used again."""
        settings = self._settings
        now = asyncio.get_running_loop().time()
        if (
            not connection.keep
            or (connection.tls and not connection.terms.tls.reuse)
            or self.closing
            or not connection.alive
            or now - connection.opened >= settings.reuse_time
            or (settings.reuse_count and connection.uses >= settings.reuse_count)
            or connection.exhausted
        ):
            connection.quit()
            return
        connection.idle_since = now
        self._idle[connection] = None
        self._by_server.setdefault(connection.server.key, []).append(connection)
        if connection.destination:
            self._by_destination.setdefault(connection.destination, []).append(connection)
        if len(self._idle) > IDLE_LIMIT:
            self._part(next(iter(self._idle)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(settings.idle_limit, self._sweep)

    def _forget(self, connection: Connection) -> None:
        del self._idle[connection]
        for index, key in (
            (self._by_server, connection.server.key),
            (self._by_destination, connection.destination),
        ):
            found = index.get(key)
            if found is not None and connection in found:
                found.remove(connection)
                if not found:
                    del index[key]

    def _part(self, connection: Connection) -> None:
        self._forget(connection)
        connection.quit()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        while self._idle:
            oldest = next(iter(self._idle))
            over = oldest.idle_since + self._settings.idle_limit
            # A connection that the peer has closed is parted with as well when its turn comes.
            if over > now:
                self._timer = loop.call_at(over, self._sweep)
                return
            self._part(oldest)

    def close(self) -> None:
        """Part with all and keep none from now on."""
        self.closing = True
        for connection in list(self._idle):
            self._part(connection)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
