"""A server on the loopback address that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType

Reply = Callable[[bytes], "bytes | None"]
"""What has come on a connection so far -> what to say, b"" to go on reading, None to close the connection."""


class Answering:
    """In a thread of its own, one connection after the other in threads; `connections` counts them."""

    def __init__(self, reply: Reply, path: str = "") -> None:
        self.reply = reply
        self.asked: list[bytes] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        if path:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(path)
        else:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(20)
        self.port: int = 0 if path else self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        received = b""
        with connection:
            try:
                while chunk := connection.recv(65536):
                    received += chunk
                    said = self.reply(received)
                    if said == b"":
                        continue
                    self.asked.append(received)
                    received = b""
                    if said is None:
                        return
                    connection.sendall(said)
            except OSError:
                return

    def say(self, unasked: bytes) -> None:
        """Send this on every connection."""
        for connection in self._open:
            connection.sendall(unasked)

    def hang_up(self) -> None:
        """Close the connections that are open, as a server does that is started anew."""
        while self._open:
            connection = self._open.pop()
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self) -> Answering:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.hang_up()
        self._thread.join(5)
