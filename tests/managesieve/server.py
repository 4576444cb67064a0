"""The whole of ManageSieve on a port of 127.0.0.1, in a thread of its own: auth, login part, session part."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from pillarbox.lib.login import LoginFront
from pillarbox.lib.login.front import Login
from pillarbox.lib.process.sessions import ThreadedSessions
from pillarbox.lib.tls import server_context
from pillarbox.managesieved.login.dialogue import ManageSieveLogin
from pillarbox.managesieved.session.service import SESSIONS
from tests.auth.service import Running, with_service
from tests.managesieve.client import Client

ACCOUNT, PASSWORD = "ann@example.com", "secret"


class RemoteLogin(ManageSieveLogin):
    """Takes every client for one on another machine."""

    async def talk(self, login: Login) -> None:
        login.connection.client_address = "192.0.2.7"
        await super().talk(login)


class Server:
    """Use as a context manager."""

    def __init__(self, folder: Path, *, sessions: bool = True, remote: bool = False, **values: str) -> None:
        self.folder = folder
        self.home = folder / "mail/example.com/ann"
        self._values = values
        self._with_sessions = sessions
        self._protocol = RemoteLogin if remote else ManageSieveLogin
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server does not stop"
        self.service.close()

    def call(self, function: Callable[[], object]) -> None:
        """Run on the server's loop."""
        self._loop.call_soon_threadsafe(function)

    def client(self) -> Client:
        return Client("127.0.0.1", self.port)

    def logged_in(self) -> Client:
        client = self.client()
        assert client.ask(b'AUTHENTICATE "PLAIN" "AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ="').condition == "OK"
        return client

    def _run(self) -> None:
        with_service(self.folder, self._serve, **self._values)

    async def _serve(self, running: Running) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        config = running.config
        self.front = LoginFront(config, self._protocol(config), server_context(config))
        self.service = ThreadedSessions(config, 8, SESSIONS)
        tcp = socket.create_server(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(config.socket_path("managesieve"))
        tasks = [asyncio.create_task(self._accept(tcp, self.front.handle))]
        if self._with_sessions:
            unix.listen()
            tasks.append(asyncio.create_task(self._accept(unix, self.service.handle)))
        self._ready.set()
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tcp.close()
        unix.close()

    async def _accept(self, listener: socket.socket, handle: Callable[[socket.socket], Awaitable[None]]) -> None:
        listener.setblocking(False)
        tasks = set()

        async def one(connection: socket.socket) -> None:
            try:
                await handle(connection)
            finally:
                connection.close()

        while True:
            connection, _ = await self._loop.sock_accept(listener)
            task = asyncio.create_task(one(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
