"""The service reputation in a thread, for commands that ask it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from pillarbox.lib.config import load
from pillarbox.lib.ipc import Channel, ChannelClosed
from pillarbox.reputation.service import Memory
from tests.reputation.scene import Clock, opened


class ReputationService:
    """Answers one request per connection, from a database that `fill` has filled."""

    def __init__(self, instance: Path, fill: Callable[[Memory], None]) -> None:
        config = load(str(instance / "etc"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(config.socket_path("reputation"))
        self._listener.listen()
        self._folder = instance
        self._fill = fill
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> ReputationService:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        clock = Clock()
        memory = Memory(opened(self._folder, clock), clock)
        self._fill(memory)
        self._ready.set()
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                memory.database.close()
                return
            channel = Channel(connection)
            try:
                request = channel.receive()
                channel.send({**memory.answer(request), "tag": request.integer("tag")})
            except ChannelClosed:
                pass
            channel.close()
