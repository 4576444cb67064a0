"""An auth service inside the test's own event loop, on a real socket, over a real database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from pillarbox.auth.authority import Authority
from pillarbox.auth.service import AuthService
from pillarbox.auth.users import UserDirectory
from pillarbox.lib.accounts import AccountDatabase
from pillarbox.lib.clients.auth import AsyncAuthClient
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed, ProtocolError

T = TypeVar("T")


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Running:
    """The service, its database and its configuration."""

    def __init__(self, config: Config, database: AccountDatabase, clock: Clock, refused_uid: int | None) -> None:
        self.config = config
        self.database = database
        self.clock = clock
        self.authority = Authority(config, UserDirectory(config, database), database, clock)
        self.service = AuthService(config, self.authority, refused_uid)
        self.client = AsyncAuthClient(config)
        self.channels: list[AsyncChannel] = []

    async def accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        tasks = []
        while True:
            connection, _ = await loop.sock_accept(listener)
            channel = AsyncChannel(connection)
            self.channels.append(channel)
            tasks.append(loop.create_task(self.serve(channel)))

    async def serve(self, channel: AsyncChannel) -> None:
        try:
            await self.service.serve(channel)
        except (ChannelClosed, ProtocolError):
            pass
        finally:
            channel.close()


def configuration(folder: Path, **values: str) -> Config:
    return Config.for_tests(
        queue_directory=str(folder / "spool"),
        mail_directory=str(folder / "mail"),
        auth_database=str(folder / "accounts.sqlite"),
        mydestination="localhost",
        **{"auth_failure_delay": "0s", **values},
    )


def with_service(
    folder: Path, test: Callable[[Running], Awaitable[T]], *, refused_uid: int | None = None, **values: str
) -> T:
    """Run `test` beside a service with the account ann@example.com, password secret."""
    config = configuration(folder, **values)
    path = Path(config.socket_path("auth"))
    path.parent.mkdir(parents=True)

    async def main() -> T:
        with AccountDatabase.open(str(config.raw("auth_database")), create=True) as database:
            database.add("ann@example.com", "secret")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()
                listener.setblocking(False)
                running = Running(config, database, Clock(), refused_uid)
                acceptor = asyncio.get_running_loop().create_task(running.accept(listener))
                try:
                    return await test(running)
                finally:
                    running.client.close()
                    acceptor.cancel()
                    running.authority.checker.close()
                    await asyncio.sleep(0)

    return asyncio.run(main())
