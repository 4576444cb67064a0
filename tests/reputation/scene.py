"""A database in a folder, under a clock that stands still until it is moved; and the service on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from pillarbox.lib.clients.reputation import AsyncReputationClient
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed, ProtocolError
from pillarbox.reputation.database import Database
from pillarbox.reputation.service import Memory, serve

SIZE = 10_000_000


class Clock:
    """Seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_795_319_643.0

    def __call__(self) -> float:
        return self.now


def opened(folder: Path, clock: Clock, size: int = SIZE) -> Database:
    return Database(str(folder), size, clock=clock)


@contextlib.asynccontextmanager
async def serving(folder: Path, clock: Clock) -> AsyncIterator[tuple[Config, Memory]]:
    """The service's requests on the socket of a configuration, without a process of its own."""
    (folder / "private").mkdir(exist_ok=True)
    config = Config.for_tests(queue_directory=str(folder))
    memory = Memory(opened(folder, clock), clock)
    tasks: set[asyncio.Task[None]] = set()

    async def one(channel: AsyncChannel) -> None:
        with contextlib.suppress(ChannelClosed, ProtocolError):
            await serve(memory, channel)
        channel.close()

    async def accept(listener: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            tasks.add(asyncio.get_running_loop().create_task(one(AsyncChannel(connection))))

    with socket.socket(socket.AF_UNIX) as listener:
        path = Path(config.socket_path("reputation"))
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        accepting = asyncio.get_running_loop().create_task(accept(listener))
        try:
            yield config, memory
        finally:
            accepting.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(accepting, *tasks, return_exceptions=True)
            memory.database.close()


@contextlib.asynccontextmanager
async def asking(config: Config) -> AsyncIterator[AsyncReputationClient]:
    client = AsyncReputationClient(config)
    try:
        yield client
    finally:
        client.close()
