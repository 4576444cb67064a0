"""Connections to the servers of a table: kept, shared by tables with the same account, watched for dead servers.

A look-up takes a connection that is at hand, or opens one.  A server that does not answer is left alone for
`retry` seconds: until then look-ups fail at once instead of making mail wait, and then one look-up tries.  A
connection that was at hand may have died unnoticed (the server was started anew): that is no fault of the server, and
the look-up goes on with a new one.  Connections that nobody needs for `idle` seconds are closed.

For several threads; the calls block.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pillarbox.lib.log import log

CONNECTIONS = 8
"""Connections of one pool at a time; more look-ups wait for one of them."""

C = TypeVar("C")
T = TypeVar("T")


class ServerGone(Exception):
    """The server cannot be reached, or broke off: another one, or a new connection, may answer."""


class ServerSilent(ServerGone):
    """The server did not answer in time."""


class QueryFailed(Exception):
    """The server answered, but not with a result; the connection is still good."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is: `path` of its UNIX socket, or `host` and `port`.  `tls`: TLS from the first byte."""

    name: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    options: Any = None
    """What else the driver knows about it; hashable."""

    @property
    def is_name(self) -> bool:
        """Whether the DNS is asked for its address."""
        numeric = self.host.replace(".", "").isdigit() or ":" in self.host
        return bool(self.host) and not numeric and self.host.lower() != "localhost"


class Pool(Generic[C]):
    """The connections to some servers that all know the same."""

    def __init__(
        self,
        servers: Sequence[Server],
        connect: Callable[[Server], C],
        close: Callable[[C], None],
        *,
        idle: float,
        retry: float,
        wait: float,
        clock: Callable[[], float] = time.monotonic,
        choose: Callable[[Sequence[Server]], Server] = lambda servers: servers[0],
    ) -> None:
        """`connect` raises ServerGone.  `wait`: seconds to wait for a connection where all are in use.  `choose`: which
        of several servers that may be tried is next."""
        self.servers = tuple(servers)
        self._connect, self._close = connect, close
        self._idle, self._retry, self._wait = idle, retry, wait
        self._clock, self._choose = clock, choose
        self._kept: list[tuple[float, Server, C]] = []
        self._down: dict[Server, tuple[float, str]] = {}
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        weakref.finalize(self, _close_all, self._kept, close)

    def ask(self, work: Callable[[C], T]) -> T:
        """What `work` makes of a connection.  It is called again where a connection turns out to be dead; it raises
        ServerGone for that.  Raises ServerGone where no server answers, and QueryFailed."""
        if not self._slots.acquire(timeout=self._wait):
            raise ServerGone(f"all {CONNECTIONS} connections to {self._names()} are in use")
        try:
            return self._ask(work)
        finally:
            self._slots.release()

    def _ask(self, work: Callable[[C], T]) -> T:
        tried: set[Server] = set()
        while True:
            taken = self._take()
            fresh = taken is None
            server, connection = self._open(tried) if taken is None else taken
            try:
                result = work(connection)
            except ServerGone as error:
                _close_quietly(connection, self._close)
                self._forget(server)
                if fresh or isinstance(error, ServerSilent):
                    tried.add(server)
                    self._mark_down(server, str(error))
                continue
            except QueryFailed:
                self._keep(server, connection)
                raise
            except BaseException:
                _close_quietly(connection, self._close)
                raise
            self._keep(server, connection)
            return result

    def _take(self) -> tuple[Server, C] | None:
        now = self._clock()
        with self._lock:
            while self._kept:
                until, server, connection = self._kept.pop()
                if until > now:
                    return server, connection
                _close_quietly(connection, self._close)
        return None

    def _open(self, tried: set[Server]) -> tuple[Server, C]:
        """A new connection.  Raises ServerGone where every server is down."""
        while True:
            server = self._next(tried)
            tried.add(server)
            try:
                connection = self._connect(server)
            except ServerGone as error:
                self._mark_down(server, str(error))
                continue
            with self._lock:
                self._down.pop(server, None)
            return server, connection

    def _next(self, tried: set[Server]) -> Server:
        now = self._clock()
        with self._lock:
            open_ones = [each for each in self.servers if each not in tried and self._may_try(each, now)]
            if not open_ones:
                reasons = dict.fromkeys(reason for _, reason in self._down.values())
                raise ServerGone("; ".join(reasons) or f"no connection to {self._names()}")
            server = self._choose([each for each in open_ones if each.path] or open_ones)
            if server in self._down:
                # While this look-up tries, the others do not.
                self._down[server] = (now + self._retry, self._down[server][1])
            return server

    def _may_try(self, server: Server, now: float) -> bool:
        down = self._down.get(server)
        return down is None or down[0] <= now

    def _mark_down(self, server: Server, reason: str) -> None:
        with self._lock:
            known = self._down.get(server)
            self._down[server] = (self._clock() + self._retry, reason)
        if known is None or known[1] != reason:
            log.warning(f"{reason} -- not tried again for {self._retry:g} seconds")

    def _keep(self, server: Server, connection: C) -> None:
        with self._lock:
            self._kept.append((self._clock() + self._idle, server, connection))
            if self._timer is None:
                self._timer = _timer(self, self._idle)

    def _forget(self, server: Server) -> None:
        """Close what is kept of a server: it is as dead as the connection that failed."""
        with self._lock:
            dead = [kept for kept in self._kept if kept[1] == server]
            self._kept[:] = [kept for kept in self._kept if kept[1] != server]
        for _, _, connection in dead:
            _close_quietly(connection, self._close)

    def close_idle(self) -> None:
        """Close the connections that nobody has needed for long."""
        now = self._clock()
        with self._lock:
            old = [kept for kept in self._kept if kept[0] <= now]
            self._kept[:] = [kept for kept in self._kept if kept[0] > now]
            self._timer = _timer(self, max(1.0, self._kept[0][0] - now)) if self._kept else None
        for _, _, connection in old:
            _close_quietly(connection, self._close)

    @property
    def kept(self) -> int:
        """How many connections are open and not in use."""
        return len(self._kept)

    def _names(self) -> str:
        return ", ".join(server.name for server in self.servers)


def _timer(pool: Pool[Any], seconds: float) -> threading.Timer:
    """Calls `close_idle` later; does not keep the pool, nor the process, alive."""
    reference = weakref.ref(pool)

    def run() -> None:
        found = reference()
        if found is not None:
            found.close_idle()

    timer = threading.Timer(seconds, run)
    timer.daemon = True
    timer.start()
    return timer


def _close_quietly(connection: C, close: Callable[[C], None]) -> None:
    try:
        close(connection)
    except Exception:
        pass  # it is as good as closed


def _close_all(kept: list[tuple[float, Server, C]], close: Callable[[C], None]) -> None:
    while kept:
        _close_quietly(kept.pop()[2], close)


_shared: weakref.WeakValueDictionary[Hashable, Pool[Any]] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def shared_pool(key: Hashable, make: Callable[[], Pool[C]]) -> Pool[C]:
    """The pool of `key`: everything that makes connections interchangeable.  Made where no table has it yet."""
    with _shared_lock:
        pool: Pool[C] | None = _shared.get(key)
        if pool is None:
            _shared[key] = pool = make()
        return pool
