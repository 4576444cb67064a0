"""Asking a server that answers look-ups: a few kept connections, a time limit for the whole answer, nothing unbounded.

Promises: an answer is complete or `ServerFailed` says what went wrong; a kept connection that the server has closed
meanwhile is replaced without a word, so that a server may be started anew; a server that cannot be reached is not tried
again for a moment, so that mail does not wait in line for it.  May be used by several threads at once.

A protocol is a function: the bytes that have come so far -> the answer and how many bytes it took, or None where more
are needed; it raises ProtocolFault for what is no answer, Refused for one that says so, and bounds what it takes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pillarbox.lib.tables.endpoint import Endpoint

CONNECTIONS = 4
"""Connections to one server at once; more askers wait for one of them."""

RETRY_AFTER = 1.0
"""Seconds for which a server that could not be reached is taken to be still unreachable."""

_CHUNK = 65536

A = TypeVar("A")
Protocol = Callable[[bytes], "tuple[A, int] | None"]


class ProtocolFault(ValueError):
    """The server said something that is no answer."""


class Refused(Exception):
    """The server says that it cannot say."""


class ServerFailed(Exception):
    """There is no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.  `answer`: from the request to the last byte of the answer, connecting included; `idle` and `age`: how
    long a connection is kept unused, and in all."""

    answer: float
    idle: float = 10.0
    age: float = 100.0


class _Connection:
    __slots__ = ("opened", "socket", "used")

    def __init__(self, connected: socket.socket, now: float) -> None:
        self.socket = connected
        self.opened = self.used = now


class _Gone(Exception):
    """The server closed the connection before it said anything."""


class Server:
    """The connections to one server.  `greeting`: requests, with the protocols of their answers, that begin each."""

    def __init__(
        self,
        endpoint: Endpoint,
        patience: Patience,
        greeting: Sequence[tuple[bytes, Protocol[object]]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self._patience = patience
        self._greeting = tuple(greeting)
        self._clock = clock
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self._kept: list[_Connection] = []
        self._closed = False
        self._down_until = 0.0
        self._why = ""

    def ask(self, request: bytes, protocol: Protocol[A]) -> A:
        """The answer to a request.  Raises ServerFailed, Refused."""
        end = self._clock() + self._patience.answer
        if not self._room.acquire(timeout=self._patience.answer):
            raise ServerFailed(f"{self.endpoint}: all connections are busy")
        try:
            return self._ask(request, protocol, end)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
            raise ServerFailed(f"{self.endpoint}: {_said(error)}") from None
        except ProtocolFault as error:
            raise ServerFailed(f"{self.endpoint}: {error}") from None
        except _Gone:
            raise ServerFailed(f"{self.endpoint}: the server closed the connection instead of an answer") from None
        finally:
            self._room.release()

    def _ask(self, request: bytes, protocol: Protocol[A], end: float) -> A:
        while True:
            kept = self._take()
            connection = self._open(end) if kept is None else kept
            try:
                answer, clean = self._exchange(connection, request, protocol, end)
            except (_Gone, ConnectionError):
                connection.socket.close()
                if kept is None:
                    raise
                continue  # it was kept, and the server has closed it meanwhile
            except BaseException:
                connection.socket.close()
                raise
            if clean:
                self._keep(connection)
            else:
                connection.socket.close()
            return answer

    def _open(self, end: float) -> _Connection:
        now = self._clock()
        if now < self._down_until:
            raise ServerFailed(f"{self.endpoint}: {self._why}")
        try:
            connection = _Connection(self.endpoint.connect(max(end - now, 0.001)), now)
        except (OSError, UnicodeError) as error:
            self._why = _said(error)
            self._down_until = self._clock() + RETRY_AFTER
            raise
        try:
            for request, protocol in self._greeting:
                self._exchange(connection, request, protocol, end)
        except BaseException:
            connection.socket.close()
            raise
        return connection

    def _exchange(self, connection: _Connection, request: bytes, protocol: Protocol[A], end: float) -> tuple[A, bool]:
        """The answer, and whether the connection can be used again."""
        connection.socket.settimeout(self._left(end))
        connection.socket.sendall(request)
        received = b""
        while True:
            connection.socket.settimeout(self._left(end))
            chunk = connection.socket.recv(_CHUNK)
            if not chunk:
                if received:
                    raise ProtocolFault("the server closed the connection in the middle of an answer")
                raise _Gone
            received += chunk
            found = protocol(received)
            if found is not None:
                return found[0], found[1] == len(received)

    def _left(self, end: float) -> float:
        left = end - self._clock()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _take(self) -> _Connection | None:
        now = self._clock()
        with self._lock:
            while self._kept:
                connection = self._kept.pop()
                if now - connection.used < self._patience.idle and now - connection.opened < self._patience.age:
                    return connection
                connection.socket.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        connection.used = self._clock()
        with self._lock:
            if not self._closed:
                self._kept.append(connection)
                return
        connection.socket.close()

    def close(self) -> None:
        """End the kept connections."""
        with self._lock:
            self._closed = True
            kept, self._kept = self._kept, []
        for connection in kept:
            with contextlib.suppress(OSError):
                connection.socket.close()


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
