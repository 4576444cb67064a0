"""Runners for programs that do one thing at a time, for many connections.

Time passes in rounds: wait until something has arrived, take in all of it, hand each request to the program, then let
the program end the round.  What must be synced to disk for several requests is synced once, at the end of the round,
while the next requests gather in the sockets: under load rounds grow and the cost of a sync is shared; an idle system
answers a single request at once.
"""

from __future__ import annotations

import errno
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pillarbox.lib.ipc import Attributes, Channel, ChannelClosed, ContentAborted, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.process.worker import IdleTimer, Worker

TICK = 1.0
"""Seconds between two rounds of housekeeping."""

SEND_LIMIT = 30
"""Seconds that one peer which does not read its answers can hold up all others; then its connection ends."""

READS_WITH_DESCRIPTORS = 64
"""Reads from one connection in one round: the kernel ends a read behind each message that brought descriptors, and
what waits behind it belongs into the same round."""

_SEND_LIMIT = struct.pack("ll", SEND_LIMIT, 0)
_LACK = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

S = TypeVar("S")


class RoundHandler(Protocol[S]):
    """What a program does in its rounds.  `S` is its state of one connection."""

    def opened(self, channel: Channel) -> S:
        """A connection was accepted; returns its state.  Where it raises, `closed` is not called."""

    def arrived(self, channel: Channel, state: S) -> None:
        """Bytes have arrived; take frames and chunks with `channel.next_frame()` and `next_chunk()` until None."""

    def closed(self, channel: Channel, state: S) -> None:
        """The connection has ended, for whatever reason."""

    def round_ended(self) -> None:
        """All that had arrived was handed over; commit and answer."""

    def stopping(self) -> None:
        """The worker was told to stop; called once.  It ends when no channel is in the middle of a request."""


class _Server(Generic[S]):
    def __init__(self, worker: Worker, handler: RoundHandler[S], descriptors: bool) -> None:
        self._worker = worker
        self._descriptors = descriptors
        self._reads = READS_WITH_DESCRIPTORS if descriptors else 1
        self._accept_after = 0.0
        self._handler = handler
        self._selector = selectors.DefaultSelector()
        self._states: dict[Channel, S] = {}
        self._listening = False

    def run(self) -> None:
        worker = self._worker
        # The wake-up descriptor makes a signal end the wait at once instead of at the next tick.
        waker, wake = socket.socketpair()
        for end in (waker, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(waker, selectors.EVENT_READ, waker)
        self._selector.register(worker.status, selectors.EVENT_READ, worker.status)
        self._adjust()
        worker.ready()
        idle = IdleTimer(worker)
        next_tick = time.monotonic() + TICK
        deadline = 0.0
        while True:
            self._round(waker)
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK
                worker.tick()
                self._adjust()
                if idle.expired():
                    worker.stop()
            if worker.stopping:
                if not deadline:
                    self._adjust()
                    self._handler.stopping()
                    deadline = now + worker.drain_timeout
                    continue  # one more round takes in what had arrived before
                if not self._busy() or now > deadline:
                    break
        for channel in list(self._states):
            self._close(channel)

    def _busy(self) -> bool:
        """Whether a connection is in the middle of a request (idle persistent connections do not hold up the end)."""
        return any(channel.pending or channel.in_request for channel in self._states)

    def _adjust(self) -> None:
        wanted = not self._worker.stopping and not self._worker.at_ceiling and time.monotonic() >= self._accept_after
        if wanted != self._listening:
            self._listening = wanted
            for listener in self._worker.listeners:
                if wanted:
                    self._selector.register(listener, selectors.EVENT_READ, listener)
                else:
                    self._selector.unregister(listener)

    def _round(self, waker: socket.socket) -> None:
        worker = self._worker
        for key, _ in self._selector.select(0.02 if worker.stopping else TICK):
            source = key.data
            if isinstance(source, Channel):
                self._arrived(source)
            elif source is waker:
                waker.recv(64)
            elif source is worker.status:
                if not worker.read_status():
                    self._selector.unregister(worker.status)
                    worker.stop()
            elif self._listening:
                self._accept(source)
        self._handler.round_ended()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno in _LACK:
                log.warning(f"{self._worker.service.name}: accept: {error.strerror}")
                self._accept_after = time.monotonic() + TICK
                self._adjust()
            return
        connection.setblocking(True)
        # Not settimeout(): with it Python would wait for bytes also where MSG_DONTWAIT forbids it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_LIMIT)
        channel = Channel(connection)
        channel.takes_descriptors = self._descriptors
        try:
            self._states[channel] = self._handler.opened(channel)
        except (ChannelClosed, ProtocolError) as error:
            log.warning(f"{self._worker.service.name}: {error}")
            channel.close()
            return
        self._selector.register(connection, selectors.EVENT_READ, channel)
        self._worker.session_started()
        self._adjust()

    def _arrived(self, channel: Channel) -> None:
        try:
            for _ in range(self._reads):
                if not channel.fill(socket.MSG_DONTWAIT):
                    break
                self._worker.served += 1
                self._handler.arrived(channel, self._states[channel])
        except (ChannelClosed, ContentAborted):
            self._close(channel)
        except ProtocolError as error:
            log.warning(f"{self._worker.service.name}: protocol error from uid {channel.peer_uid}: {error}")
            self._close(channel)

    def _close(self, channel: Channel) -> None:
        self._selector.unregister(channel.socket)
        state = self._states.pop(channel)
        try:
            self._handler.closed(channel, state)
        finally:
            channel.close()
            self._worker.session_ended()
            self._adjust()


def serve_rounds(worker: Worker, handler: RoundHandler[S], *, descriptors: bool = False) -> None:
    """Serve until the worker is told to stop and no connection is in the middle of a request.

    `descriptors` says that peers may send open files; without it the kernel closes what they send.
    """
    worker.sessions_may_idle = True
    _Server(worker, handler, descriptors).run()


class _PerRequest:
    """Each frame is a request; its handler has answered when it returns."""

    def __init__(self, worker: Worker, handle: Callable[[Channel, Attributes], None]) -> None:
        self._worker = worker
        self._handle = handle

    def opened(self, channel: Channel) -> None:
        pass

    def arrived(self, channel: Channel, state: None) -> None:
        while (frame := channel.next_frame()) is not None:
            self._handle(channel, frame)

    def closed(self, channel: Channel, state: None) -> None:
        pass

    def round_ended(self) -> None:
        pass

    def stopping(self) -> None:
        pass


def serve_requests(worker: Worker, handle: Callable[[Channel, Attributes], None]) -> None:
    """`handle(channel, frame)` for each frame, one after another; it sends the reply itself.

    A ProtocolError ends the connection with a warning in the log.
    """
    serve_rounds(worker, _PerRequest(worker, handle))
