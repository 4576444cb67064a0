"""Runners for programs that serve many sessions at once on an event loop."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from pillarbox.lib.ipc import AsyncChannel, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.process.loop import new_event_loop
from pillarbox.lib.process.worker import IdleTimer, Worker

TICK = 1.0
"""Seconds between two rounds of housekeeping."""

ACCEPT_BURST = 16
"""Connections taken in one wake-up: enough to empty a burst, few enough that a sibling process gets its share."""

ACCEPT_PAUSE = 1.0
"""Seconds to wait after accept failed for lack of descriptors or memory."""

_LACK = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class _Acceptor:
    """Accepts on the worker's listeners while sessions are below the ceiling and the worker is not stopping."""

    def __init__(self, worker: Worker, take: Callable[[socket.socket], None]) -> None:
        self._worker = worker
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._on = False

    def adjust(self) -> None:
        """Listen or stop listening, as the session count and the state of the worker say."""
        worker = self._worker
        wanted = not worker.stopping and not worker.retiring and not worker.at_ceiling
        if wanted != self._on:
            self._on = wanted
            for listener in self._worker.listeners:
                if wanted:
                    self._loop.add_reader(listener.fileno(), self._accept, listener)
                else:
                    self._loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_BURST):
            if not self._on:
                return
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _LACK:
                    log.warning(f"{self._worker.service.name}: accept: {error.strerror}")
                    self._on = False
                    for each in self._worker.listeners:
                        self._loop.remove_reader(each.fileno())
                    self._loop.call_later(ACCEPT_PAUSE, self.adjust)
                return
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                # Not left to the loop: without it a client that sends one command at a time waits 40 ms for a reply.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._worker.session_started()
            self._take(connection)
            self.adjust()

    def release(self) -> None:
        """A session has ended."""
        self._worker.session_ended()
        self.adjust()
        self.leave()

    def retire(self) -> None:
        """Accept no more."""
        self.adjust()
        self.leave()

    def leave(self) -> None:
        """A process that has retired ends with its last session."""
        if self._worker.retiring and not self._worker.sessions:
            self._worker.stop()


Start = Callable[[], Awaitable[None]]


async def _serve(
    worker: Worker, begin: Callable[[_Acceptor], Callable[[socket.socket], None]], start: Start | None
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    acceptor: _Acceptor

    def take(connection: socket.socket) -> None:
        taker(connection)

    acceptor = _Acceptor(worker, take)
    taker = begin(acceptor)
    program_stop = worker.on_stop

    def stop() -> None:
        if program_stop:
            program_stop()
        acceptor.adjust()
        stopped.set()

    worker.on_stop = stop
    worker.on_retire = acceptor.retire
    loop.add_signal_handler(signal.SIGTERM, worker.stop)

    def status_readable() -> None:
        # A master that died with something unread: no loop tells of that twice (`AsyncChannel.failed`).
        if not worker.read_status() or worker.status.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            loop.remove_reader(worker.status.fileno())
            worker.stop()

    loop.add_reader(worker.status.fileno(), status_readable)
    if start is not None:
        await start()
    acceptor.adjust()
    worker.ready()
    idle = IdleTimer(worker)
    while not stopped.is_set():
        try:
            await asyncio.wait_for(stopped.wait(), TICK)
        except TimeoutError:
            worker.tick()
            if idle.expired():
                worker.stop()
    deadline = loop.time() + worker.drain_timeout
    while worker.sessions and loop.time() < deadline:
        worker.tick()
        await asyncio.sleep(0.02)
    if worker.sessions:
        log.warning(f"{worker.service.name}: {worker.sessions} sessions broken off after {worker.drain_timeout:g}s")


def run_events(
    worker: Worker, begin: Callable[[_Acceptor], Callable[[socket.socket], None]], start: Start | None = None
) -> None:
    """Run the loop until the worker has drained."""
    loop = new_event_loop()
    loop.set_exception_handler(_report)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(worker, begin, start))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        # One more turn, so that cancelled sessions run their clean-up.
        loop.run_until_complete(asyncio.sleep(0))


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(context.get("message"))
    if isinstance(error, (ConnectionError, ChannelClosed, TimeoutError)):
        return
    place = ""
    if isinstance(error, BaseException) and error.__traceback__:
        last = error.__traceback__
        while last.tb_next:
            last = last.tb_next
        place = f" ({last.tb_frame.f_code.co_filename.rpartition('/pillarbox/')[2]}:{last.tb_lineno})"
    log.panic(f"unhandled: {text}{place}")


ConnectionHandler = Callable[[socket.socket], Awaitable[None]]
ChannelHandler = Callable[[AsyncChannel], Awaitable[None]]
ProtocolFactory = Callable[[Callable[[], None]], asyncio.BaseProtocol]


def _task_per(worker: Worker, handler: ConnectionHandler) -> Callable[[_Acceptor], Callable[[socket.socket], None]]:
    def begin(acceptor: _Acceptor) -> Callable[[socket.socket], None]:
        tasks: set[asyncio.Task[None]] = set()

        async def session(connection: socket.socket) -> None:
            try:
                await handler(connection)
            except (ConnectionError, ChannelClosed):
                pass
            except ProtocolError as error:
                log.warning(f"{worker.service.name}: protocol error: {error}")
            finally:
                connection.close()
                acceptor.release()

        def take(connection: socket.socket) -> None:
            task = asyncio.get_running_loop().create_task(session(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return take

    return begin


def serve_connections(worker: Worker, handler: ConnectionHandler, start: Start | None = None) -> None:
    """Run `await handler(socket)` as a task per connection; the socket is closed when it returns.

    `start` runs on the loop before the first connection is accepted.
    """
    run_events(worker, _task_per(worker, handler), start)


class ConnectionServer(Protocol):
    """What serves connections, and knows how to end."""

    async def handle(self, connection: socket.socket) -> None:
        """Serve one to its end."""

    def stop(self) -> None:
        """The service is told to stop."""


def serve_with(worker: Worker, make: Callable[[], ConnectionServer]) -> None:
    """`serve_connections` by what `make` gives, which is called on the loop before the first connection is accepted."""
    server: ConnectionServer | None = None

    async def start() -> None:
        nonlocal server
        server = make()

    async def handle(connection: socket.socket) -> None:
        assert server is not None
        await server.handle(connection)

    def stop() -> None:
        if server is not None:
            server.stop()

    worker.on_stop = stop
    serve_connections(worker, handle, start)


def serve_channels(
    worker: Worker, handler: ChannelHandler, start: Start | None = None, *, descriptors: bool = False
) -> None:
    """Run `await handler(AsyncChannel)` as a task per connection.

    A ProtocolError that the handler lets out ends the connection with a warning, ChannelClosed ends it silently.
    `descriptors` says that peers may send open files; without it the kernel closes what they send.
    """

    channels: set[AsyncChannel] = set()
    program_stop = worker.on_stop

    def stop() -> None:
        if program_stop:
            program_stop()
        for channel in channels:
            channel.drain()

    worker.on_stop = stop

    async def with_channel(connection: socket.socket) -> None:
        channel = AsyncChannel(connection)
        channel.takes_descriptors = descriptors
        channels.add(channel)
        if worker.stopping:
            channel.drain()
        try:
            await handler(channel)
        finally:
            channels.discard(channel)
            channel.close()

    run_events(worker, _task_per(worker, with_channel), start)


def serve_protocol(worker: Worker, factory: ProtocolFactory, start: Start | None = None) -> None:
    """An asyncio Protocol per connection, for the hot path: no task, no stream.

    `factory(released)` makes the protocol; the protocol calls `released()` once, when its session has ended.
    """

    def begin(acceptor: _Acceptor) -> Callable[[socket.socket], None]:
        loop = asyncio.get_running_loop()
        pending: set[asyncio.Task[object]] = set()

        def take(connection: socket.socket) -> None:
            made = False

            def make() -> asyncio.BaseProtocol:
                nonlocal made
                made = True
                return factory(acceptor.release)

            def connected(task: asyncio.Task[object]) -> None:
                pending.discard(task)
                if not made:  # else the protocol knows when its session ends
                    connection.close()
                    acceptor.release()

            task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(make, connection))
            pending.add(task)
            task.add_done_callback(connected)

        return take

    run_events(worker, begin, start)
