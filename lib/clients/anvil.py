"""The client of `anvil`, which counts connections and events per service and client address.

    counts = await anvil.connect("smtp", "192.0.2.1")     # Counts(connections=3, rate=5)
    total = await anvil.count("smtp", "192.0.2.1", "message")
    anvil.disconnect("smtp", "192.0.2.1")

Connections are counted for the life of this client's own connection: when a program dies, what it had open is
forgotten.  After a restart of `anvil` counts begin at zero; a limit may then be exceeded for a while.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError

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
        self._path = config.socket_path(SERVICE)
        self._channel: AsyncChannel | None = None
        self._lock = asyncio.Lock()
        self._down_until = 0.0
        self._goodbyes: set[asyncio.Task[None]] = set()

    async def connect(self, service: str, address: str) -> Counts:
        """A client has connected."""
        reply = await self._call({"do": "connect", "service": service, "address": address})
        return Counts(reply.integer("connections"), reply.integer("rate"))

    async def count(self, service: str, address: str, kind: EventKind) -> int:
        """An event of a client; how many there were within the time unit."""
        reply = await self._call({"do": "count", "service": service, "address": address, "kind": kind})
        return reply.integer("rate")

    def disconnect(self, service: str, address: str) -> None:
        """A client that `connect` was called for has gone.  Does not wait and does not fail."""
        if self._channel is not None:
            task = asyncio.get_running_loop().create_task(self._goodbye(service, address))
            self._goodbyes.add(task)
            task.add_done_callback(self._goodbyes.discard)

    async def _goodbye(self, service: str, address: str) -> None:
        try:
            await self._call({"do": "disconnect", "service": service, "address": address})
        except ServiceUnavailable:
            pass  # a new anvil knows nothing of the connection

    async def _call(self, request: dict[str, object]) -> Attributes:
        # A session that goes away must not break the exchange that it began: the connection serves all.
        return await asyncio.shield(asyncio.get_running_loop().create_task(self._ask(request)))

    async def _ask(self, request: dict[str, object]) -> Attributes:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() < self._down_until:
                raise ServiceUnavailable("anvil: not available a moment ago")
            for attempt in (1, 2):
                fresh = self._channel is None
                try:
                    if self._channel is None:
                        self._channel = await AsyncChannel.connect(self._path, ANSWER_TIMEOUT)
                    await self._channel.send(request)
                    reply = await self._channel.receive(ANSWER_TIMEOUT)
                    if not reply.boolean("ok"):
                        raise ProtocolError(reply.text("why", "refused"))
                    return reply
                except (ChannelClosed, ProtocolError) as error:
                    self.close()
                    if fresh or attempt == 2:
                        self._down_until = loop.time() + RETRY_AFTER
                        raise ServiceUnavailable(f"anvil: {error}") from None
            raise AssertionError("unreachable")

    def close(self) -> None:
        """End the connection; what it counted is forgotten."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
