"""The client of `anvil`, which counts connections and events per service and client address.

    counts = await anvil.connect("smtp", "192.0.2.1")     # Counts(connections=3, rate=5)
    total = await anvil.count("smtp", "192.0.2.1", "message")
    anvil.disconnect("smtp", "192.0.2.1")

Many questions may be under way at once on one connection.  Connections are counted for the life of this client's own
connection: when a program dies, what it had open is forgotten.  After a restart of `anvil` counts begin at zero; a
limit may then be exceeded for a while.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.tagged import TaggedClient
from pillarbox.lib.config import Config

SERVICE = "anvil"

ANSWER_TIMEOUT = 5.0
"""Seconds to wait: counting is quick or not worth waiting for."""

RETRY_AFTER = 1.0
"""Seconds for which a service that could not be reached is not tried again, so that sessions don't wait for it."""

EventKind = Literal["message", "recipient", "auth", "tls"]


@dataclass(frozen=True, slots=True)
class Counts:
    """`connections` open at once and `rate` begun within the time unit, of one client to one service."""

    connections: int
    rate: int


class AsyncAnvilClient:
    """For event programs; every method but `disconnect` raises ServiceUnavailable."""

    def __init__(self, config: Config) -> None:
        self._service = TaggedClient(config.socket_path(SERVICE), SERVICE, ANSWER_TIMEOUT, RETRY_AFTER)
        self._goodbyes: set[asyncio.Task[None]] = set()

    async def connect(self, service: str, address: str) -> Counts:
        """A client has connected."""
        reply = await self._service.ask({"do": "connect", "service": service, "address": address})
        return Counts(reply.integer("connections"), reply.integer("rate"))

    async def count(self, service: str, address: str, kind: EventKind) -> int:
        """An event of a client; how many there were within the time unit."""
        request: dict[str, object] = {"do": "count", "service": service, "address": address, "kind": kind}
        return (await self._service.ask(request)).integer("rate")

    async def rate(self, service: str, address: str, kind: EventKind) -> int:
        """How many events there were within the time unit, without another one."""
        request: dict[str, object] = {"do": "rate", "service": service, "address": address, "kind": kind}
        return (await self._service.ask(request)).integer("rate")

    def disconnect(self, service: str, address: str) -> None:
        """A client that `connect` was called for has gone.  Does not wait and does not fail."""
        if self._service.connected:
            task = asyncio.get_running_loop().create_task(self._goodbye(service, address))
            self._goodbyes.add(task)
            task.add_done_callback(self._goodbyes.discard)

    async def _goodbye(self, service: str, address: str) -> None:
        try:
            await self._service.tell({"do": "disconnect", "service": service, "address": address})
        except ServiceUnavailable:
            pass  # a new anvil knows nothing of the connection

    def close(self) -> None:
        """End the connection; what it counted is forgotten."""
        self._service.close()
