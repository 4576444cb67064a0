"""Asking a server that answers one request after the other: socketmap, tcp, memcache, Redis.

Promises: an answer is complete, within a time limit for all of it and a size that the protocol bounds, or there is
none; more than one answer is none.  Connections are kept, replaced and limited by the pool (`query_pool`).

A protocol is a function: the bytes that have come so far -> the answer and how many bytes it took, or None where more
are needed; it raises ProtocolFault for what is no answer, Refused for one that says so, and bounds what it takes.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pillarbox.lib.tables.endpoint import Endpoint
from pillarbox.lib.tables.query_pool import Pool, QueryFailed, Server, ServerGone, ServerSilent

RETRY_AFTER = 1.0
"""Seconds for which a server that could not be reached is taken to be still unreachable."""

WAIT = 2.0
"""Seconds to wait for a connection where all are in use: a server that hangs shall not hold everybody's threads."""

_CHUNK = 65536

A = TypeVar("A")
Protocol = Callable[[bytes], "tuple[A, int] | None"]


class ProtocolFault(ValueError):
    """The server said something that is no answer."""


class Refused(QueryFailed):
    """The server says that it cannot say."""


FAILURES = (ServerGone, QueryFailed, ProtocolFault)
"""What `Exchange.ask` raises."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.  `answer`: from the request to the last byte of the answer; `idle`: how long a connection is kept that
    nobody needs."""

    answer: float
    idle: float = 10.0


class Exchange:
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
        server = Server(str(endpoint), endpoint.host, endpoint.port, endpoint.path)
        self._pool: Pool[socket.socket] = Pool(
            (server,),
            self._connect,
            socket.socket.close,
            idle=patience.idle,
            retry=RETRY_AFTER,
            wait=WAIT,
            clock=clock,
        )

    def ask(self, request: bytes, protocol: Protocol[A]) -> A:
        """The answer to a request.  Raises one of FAILURES."""
        return self._pool.ask(lambda connection: self._exchange(connection, request, protocol))

    def _connect(self, _server: Server) -> socket.socket:
        try:
            connection = self.endpoint.connect(self._patience.answer)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
            raise ServerGone(f"{self.endpoint}: {_said(error)}") from None
        try:
            for request, protocol in self._greeting:
                self._exchange(connection, request, protocol)
        except (QueryFailed, ProtocolFault) as error:
            connection.close()
            raise ServerGone(f"{self.endpoint}: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(self, connection: socket.socket, request: bytes, protocol: Protocol[A]) -> A:
        end = self._clock() + self._patience.answer
        received = b""
        try:
            if _has_news(connection):
                # The end of the connection, or words that would be taken for the answer to this request.
                raise ServerGone(f"{self.endpoint}: the server spoke or went before it was asked")
            connection.settimeout(self._patience.answer)
            connection.sendall(request)
            while chunk := connection.recv(_CHUNK):
                received += chunk
                found = protocol(received)
                if found is not None:
                    break
                connection.settimeout(max(end - self._clock(), 0.001))
        except TimeoutError:
            raise ServerSilent(f"{self.endpoint}: no answer in time") from None
        except OSError as error:
            raise ServerGone(f"{self.endpoint}: {_said(error)}") from None
        if not chunk:
            if received:
                raise ProtocolFault("the server closed the connection in the middle of an answer")
            raise ServerGone(f"{self.endpoint}: the server closed the connection instead of an answer")
        assert found is not None
        answer, taken = found
        if taken < len(received):
            # What comes unasked would be taken for the answer to the next request.
            raise ProtocolFault("more than one answer came")
        return answer


def _has_news(connection: socket.socket) -> bool:
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
