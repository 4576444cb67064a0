"""A web server for tests, in threads of its own: it answers as told, byte for byte, and can hang or drip.

with WebServer(certificate.server_context, lambda request: ok(b"...", "text/plain")) as web:
    https://localhost:{web.port}/
    web.requests                                 # what came
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from tests.lab.ports import LOOPBACK

PATIENCE = 20.0  # seconds; no thread of a test lives for ever


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent: the head without the empty line, the body."""

    head: str
    body: bytes

    @property
    def line(self) -> str:
        """`GET /path HTTP/1.1`."""
        return self.head.partition("\r\n")[0]

    def field(self, name: str) -> str:
        """A header field's value, "" where it is not there."""
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == name.lower():
                return value.strip()
        return ""


HANG: Final = None
"""An answer that never comes."""


def ok(body: bytes, media_type: str, *, status: str = "200 OK") -> bytes:
    """A plain response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class WebServer:
    """Serves until it is left.  `respond` gives the octets to send, or `HANG`; with `drip` they go out one by one,
    slowly.  `context` None: without TLS."""

    def __init__(
        self,
        context: ssl.SSLContext | None,
        respond: Callable[[Request], bytes | None],
        *,
        address: str = LOOPBACK,
        port: int = 0,
    ) -> None:
        self.context = context
        self.respond = respond
        self.drip = False
        self.requests: list[Request] = []
        self.connections = 0
        self._listener = socket.create_server((address, port))
        self.port = int(self._listener.getsockname()[1])
        self._released = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # else the thread in accept would still take one
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(PATIENCE)
            stream = self.context.wrap_socket(connection, server_side=True) if self.context else connection
            with stream:
                self._answer(stream)
        except OSError:
            connection.close()

    def _answer(self, stream: socket.socket) -> None:
        request = _read(stream)
        self.requests.append(request)
        reply = self.respond(request)
        if reply is None:
            self._released.wait(PATIENCE)
        elif self.drip:
            for octet in reply:
                stream.sendall(bytes((octet,)))
                if self._released.wait(0.05):
                    return
        else:
            stream.sendall(reply)


def _read(stream: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(Request(head.decode(), b"").field("content-length") or 0)
    while len(body) < length:
        body += _some(stream)
    return Request(head.decode(), body)


def _some(stream: socket.socket) -> bytes:
    data = stream.recv(65536)
    if not data:
        raise ConnectionError("the client has gone")
    return data
