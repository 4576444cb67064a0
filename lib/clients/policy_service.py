"""Asks policy servers: connections that are used again, tries, and limits of time (SMTPD_POLICY_README of Postfix).

    action = await services.ask(server, attributes)      # raises ServiceUnavailable

A connection that was idle too long, is too old or has carried enough requests is not used again.  One that the server
has closed meanwhile is replaced without counting as a try.  At most `CONNECTIONS` requests are under way to one server;
more wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.policy_protocol import AnswerReader, PolicyProtocolError, encode_request

CONNECTIONS = 100
"""Connections of one process to one server: as many as Postfix has processes by default."""

READ_SIZE = 4096

SWEEP = 0.1
"""Seconds between two looks at idle connections at least."""

Connect = Callable[["Endpoint"], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens: `path`, or `host` (an address) and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds; `request_limit` 0 means any number."""

    timeout: float = 100.0
    try_limit: int = 2
    retry_delay: float = 1.0
    max_idle: float = 300.0
    max_ttl: float = 1000.0
    request_limit: int = 0


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    made: float
    used: float
    requests: int = 0

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.writer.close()


@dataclass(slots=True)
class _Server:
    idle: list[_Connection] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))


async def connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection.  Raises OSError."""
    if endpoint.path:
        return await asyncio.open_unix_connection(endpoint.path)
    return await asyncio.open_connection(endpoint.host, endpoint.port)


class PolicyServices:
    """The policy servers of one process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, connect: Connect = connect) -> None:
        self._clock = clock
        self._connect = connect
        self._servers: dict[Endpoint, _Server] = {}

    async def ask(self, endpoint: Endpoint, patience: Patience, attributes: Sequence[tuple[str, str]]) -> str:
        """The action.  Raises ServiceUnavailable when no try has led to an answer."""
        server = self._servers.setdefault(endpoint, _Server())
        request = encode_request(attributes)
        reason = ""
        async with server.slots:
            for number in range(patience.try_limit):
                if number:
                    await asyncio.sleep(patience.retry_delay)
                try:
                    return await self._try(endpoint, server, patience, request)
                except TimeoutError:
                    reason = f"no answer within {patience.timeout:g} seconds"
                except (OSError, EOFError) as error:
                    reason = getattr(error, "strerror", None) or str(error)
                except PolicyProtocolError as error:
                    reason = str(error)
        raise ServiceUnavailable(f"{endpoint}: {reason}")

    async def _try(self, endpoint: Endpoint, server: _Server, patience: Patience, request: bytes) -> str:
        while (connection := self._kept(server, patience)) is not None:
            answer = AnswerReader()
            try:
                return await self._exchange(server, connection, patience, request, answer)
            except (OSError, EOFError) as error:
                # It had closed this connection, which was idle; whoever answers in part has seen the request.
                if isinstance(error, TimeoutError) or answer.begun:
                    raise
        async with asyncio.timeout(patience.timeout):
            reader, writer = await self._connect(endpoint)
        now = self._clock()
        return await self._exchange(server, _Connection(reader, writer, now, now), patience, request, AnswerReader())

    def _kept(self, server: _Server, patience: Patience) -> _Connection | None:
        """An idle connection that may be used again."""
        self._sweep(server, patience)
        return server.idle.pop() if server.idle else None

    def _sweep(self, server: _Server, patience: Patience) -> None:
        """Close what was idle for too long, is too old, or was closed at the other end."""
        now = self._clock()
        kept: list[_Connection] = []
        for each in server.idle:
            young = now - each.used < patience.max_idle and now - each.made < patience.max_ttl
            if young and not each.reader.at_eof():
                kept.append(each)
            else:
                each.close()
        server.idle[:] = kept

    async def _exchange(
        self, server: _Server, connection: _Connection, patience: Patience, request: bytes, answer: AnswerReader
    ) -> str:
        try:
            async with asyncio.timeout(patience.timeout):
                connection.writer.write(request)
                await connection.writer.drain()
                action = None
                while action is None:
                    data = await connection.reader.read(READ_SIZE)
                    if not data:
                        raise EOFError("the server closed the connection")
                    action = answer.feed(data)
        except BaseException:
            connection.close()
            raise
        connection.requests += 1
        connection.used = self._clock()
        if patience.request_limit and connection.requests >= patience.request_limit:
            connection.close()
        else:
            server.idle.append(connection)
            self._watch(server, patience)
        return action

    def _watch(self, server: _Server, patience: Patience) -> None:
        """Have idle connections closed in time: by one timer, however many requests there are."""
        if server.timer is None and server.idle:
            until = min(min(one.used + patience.max_idle, one.made + patience.max_ttl) for one in server.idle)
            delay = max(until - self._clock(), SWEEP)
            server.timer = asyncio.get_running_loop().call_later(delay, self._time_is_up, server, patience)

    def _time_is_up(self, server: _Server, patience: Patience) -> None:
        server.timer = None
        self._sweep(server, patience)
        self._watch(server, patience)

    def close(self) -> None:
        """Close what is idle."""
        for server in self._servers.values():
            if server.timer is not None:
                server.timer.cancel()
                server.timer = None
            while server.idle:
                server.idle.pop().close()
