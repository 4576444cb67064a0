"""Client and service over a real UNIX socket."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from pillarbox.anvil.counters import Counters
from pillarbox.anvil.program import Channels
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.anvil import AsyncAnvilClient, Counts
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel


class Scene:
    def __init__(self, folder: Path) -> None:
        (folder / "private").mkdir()
        self.config = Config.for_tests(queue_directory=str(folder))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.config.socket_path("anvil"))
        self.listener.listen()
        self.listener.setblocking(False)
        self.channels = Channels(Counters(60.0, lambda: 0.0))
        self.tasks: set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self.listener)
            self.tasks.add(loop.create_task(self.channels.serve(AsyncChannel(connection))))

    def start(self) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self.accept())


def test_counts_go_to_and_fro(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = Scene(tmp_path)
        server = scene.start()
        client = AsyncAnvilClient(scene.config)
        assert await client.connect("smtp", "a") == Counts(1, 1)
        assert await client.connect("smtp", "a") == Counts(2, 2)
        client.disconnect("smtp", "a")
        assert await client.count("smtp", "a", "message") == 1
        assert await client.connect("smtp", "a") == Counts(2, 3)
        client.close()
        server.cancel()

    asyncio.run(scenario())


def test_the_connections_of_a_program_that_dies_are_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = Scene(tmp_path)
        server = scene.start()
        dying, living = AsyncAnvilClient(scene.config), AsyncAnvilClient(scene.config)
        await dying.connect("smtp", "a")
        dying.close()
        await asyncio.wait(scene.tasks)
        assert (await living.connect("smtp", "a")).connections == 1
        living.close()
        server.cancel()

    asyncio.run(scenario())


def test_a_cancelled_question_does_not_spoil_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = Scene(tmp_path)
        server = scene.start()
        client = AsyncAnvilClient(scene.config)
        task = asyncio.get_running_loop().create_task(client.count("smtp", "a", "auth"))
        await asyncio.sleep(0)
        task.cancel()
        assert await client.connect("smtp", "b") == Counts(1, 1)
        client.close()
        server.cancel()

    asyncio.run(scenario())


def test_without_the_service_the_client_says_so_and_does_not_insist(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = AsyncAnvilClient(Config.for_tests(queue_directory=str(tmp_path)))
        with pytest.raises(ServiceUnavailable, match="anvil: connect to"):
            await client.connect("smtp", "a")
        with pytest.raises(ServiceUnavailable, match="not available a moment ago"):
            await client.connect("smtp", "a")
        client.disconnect("smtp", "a")

    asyncio.run(scenario())
