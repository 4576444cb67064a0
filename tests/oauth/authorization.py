"""An authorization server that tells the truth, lies, hangs, or is none at all."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import parse_qs

REALM = "/introspect"


class IntrospectionServer:
    """Serves on 127.0.0.1 in a thread.  `answers`: token -> claims; `script`: raw bytes that are sent instead.

    `requests` are what came: (head, form).  With `hang` nothing is ever sent; with `drip` an octet at a time, slowly.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.script: bytes | None = None
        self.hang = False
        self.drip = False
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._released = threading.Event()

    @property
    def url(self) -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://localhost:{self.port}{REALM}"

    def __enter__(self) -> IntrospectionServer:
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
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(20)
            stream = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            with stream:
                self._answer(stream)
        except OSError:
            connection.close()

    def _answer(self, stream: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += stream.recv(4096)
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0].partition(b":")[2]):
            body += stream.recv(4096)
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.requests.append((head.decode(), form))
        if self.hang:
            self._released.wait(20)
            return
        reply = self.script
        if reply is None:
            claims = json.dumps(self.answers.get(form.get("token", ""), {"active": False})).encode()
            reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(claims)
            reply += claims
        if self.drip:
            for octet in reply:
                stream.sendall(bytes((octet,)))
                if self._released.wait(0.05):
                    return
            return
        stream.sendall(reply)


def good(username: str = "ann@example.com", **claims: Any) -> dict[str, Any]:
    """The claims of a good token."""
    return {"active": True, "username": username, "exp": int(time.time()) + 3600, **claims}
