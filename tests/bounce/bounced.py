"""A bounce service in this process, between a real client and a cleanup that keeps what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

from pillarbox.bounce.logs import Logs
from pillarbox.bounce.notices import Notices
from pillarbox.bounce.service import Service
from pillarbox.lib.clients.bounce import AsyncBounceClient
from pillarbox.lib.clients.cleanup import Receipt, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel
from pillarbox.lib.message.dsn import Template
from pillarbox.lib.queue import Envelope, Queue

ID = "4jXFYl6dnjzKD6m"
OTHER_ID = "4jXFYl6dnjzKD6n"
CONTENT = b"Subject: hello\nFrom: a@x.test\n\nthe body\n"
NOW = 1795319743.0


@dataclass
class Taken:
    """A message that the fake cleanup has taken."""

    envelope: Envelope
    data: bytes

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, email.message_from_bytes(self.data, policy=email.policy.default))


@dataclass
class FakeCleanup:
    """Stands for AsyncCleanupClient.  `refusals` are raised one after the other by commits."""

    taken: list[Taken] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    size_limit: int = 10_000_000
    refuse_after: int = -1
    """Messages after which it is out of reach."""

    async def open(self) -> FakeMessage:
        return FakeMessage(self)


class FakeMessage:
    def __init__(self, cleanup: FakeCleanup) -> None:
        self._cleanup = cleanup
        self.queue_id = f"NEW{len(cleanup.taken) + 1}"
        self._data: list[bytes] = []
        self._envelope: Envelope | None = None

    def begin(self, envelope: Envelope) -> None:
        self._envelope = envelope

    async def write(self, content: bytes) -> None:
        self._data.append(content)

    async def commit(self) -> Receipt:
        if self._cleanup.refusals:
            raise self._cleanup.refusals.pop(0)
        if len(self._cleanup.taken) == self._cleanup.refuse_after:
            raise ServiceUnavailable("cleanup: gone")
        if sum(map(len, self._data)) > self._cleanup.size_limit:
            raise Rejected(552, "5.3.4", "Error: message file too big")
        assert self._envelope is not None
        self._cleanup.taken.append(Taken(self._envelope, b"".join(self._data)))
        return Receipt(self.queue_id, 0)

    def abort(self) -> None:
        pass


@dataclass
class Bench:
    """What a test works with."""

    client: AsyncBounceClient
    cleanup: FakeCleanup
    config: Config
    spool: Path
    descriptor: int
    sessions: list[asyncio.Task[None]]

    def serving(self) -> int:
        """Connections that have not ended."""
        return sum(not task.done() for task in self.sessions)

    def envelope(self, **changes: Any) -> Envelope:
        settings: dict[str, Any] = {"sender": "a@x.test", "recipients": (), "arrival": NOW - 100}
        return Envelope(**{**settings, **changes})

    async def flush(self, **changes: Any) -> tuple[str, ...]:
        return await self.client.flush(ID, self.envelope(**changes), self.descriptor, 5, len(CONTENT))

    async def warn(self, **changes: Any) -> tuple[str, ...]:
        return await self.client.warn(ID, self.envelope(**changes), self.descriptor, 5, len(CONTENT))


@contextlib.asynccontextmanager
async def bounce_service(
    directory: Path, templates: Mapping[str, Template] | None = None, **parameters: str
) -> AsyncIterator[Bench]:
    """Start the service on a socket in `directory`."""
    spool = directory / "spool"
    Queue(str(spool)).create()
    (directory / "message").write_bytes(b"#####" + CONTENT)
    descriptor = os.open(directory / "message", os.O_RDONLY)
    config = Config.for_tests(
        queue_directory=str(spool), myhostname="mx.test", mydomain="test", myorigin="mx.test", **parameters
    )
    cleanup = FakeCleanup()
    service = Service(Logs(str(spool)), Notices(config, cast(Any, cleanup), lambda: NOW, templates))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(config.socket_path("bounce"))
    listener.listen()
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            tasks.append(loop.create_task(service.handle(AsyncChannel(connection))))

    accepting = loop.create_task(accept())
    client = AsyncBounceClient(config)
    try:
        yield Bench(client, cleanup, config, spool, descriptor, tasks)
    finally:
        client.close()
        accepting.cancel()
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(accepting, *tasks, return_exceptions=True)
        listener.close()
        os.close(descriptor)


__all__ = ["CONTENT", "ID", "NOW", "OTHER_ID", "Bench", "Rejected", "ServiceUnavailable", "bounce_service"]
