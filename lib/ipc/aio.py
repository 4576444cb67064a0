"""Frames over a UNIX socket in an asyncio program.

Written on non-blocking socket calls and the loop's reader callbacks rather than on streams, because descriptors come
beside the bytes (recvmsg), and because a request and its reply then cost two wake-ups and no task switch more.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import socket
import sys
import termios
from collections.abc import Callable, Mapping, Sequence

from pillarbox.lib.ipc.blocking import READ_SIZE, UNCLAIMED_LIMIT, peer_uid, receive_with_descriptors
from pillarbox.lib.ipc.frames import (
    ABORT_CONTENT,
    END_OF_CONTENT,
    FRAME_LIMIT,
    Attributes,
    ChannelClosed,
    FrameReader,
    ProtocolError,
    encode_chunk,
    encode_frame,
)

UNREAD_LIMIT = 2 * FRAME_LIMIT
"""Bytes that are read ahead of their reader; beyond it the peer waits."""


class AsyncChannel:
    """One connection.  One task at a time may wait in `receive` or `read_chunk`, and one in a sending method."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.closed = False
        self.takes_descriptors = True
        """See `Channel.takes_descriptors`."""
        self.on_drain: Callable[[], None] | None = None
        """What a server does with this connection when it is told to stop, instead of ending it when it is idle."""
        self._draining = False
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._fds: list[int] = []
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._watching = False
        self._end: ChannelClosed | None = None

    @classmethod
    async def connect(cls, path: str, timeout: float | None = None) -> AsyncChannel:
        """Connect to a service's socket, within `timeout` seconds.  Raises ChannelClosed."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            try:
                sock.connect(path)
            except BlockingIOError:
                # The listener's backlog is full: an AF_UNIX connect does not go on in the background, so ask again.
                await asyncio.wait_for(_connect_patiently(sock, path), timeout)
        except (OSError, TimeoutError) as error:
            sock.close()
            raise ChannelClosed(f"connect to {path}: {getattr(error, 'strerror', None) or 'timed out'}") from None
        return cls(sock)

    @property
    def peer_uid(self) -> int:
        """The user id of the peer."""
        return peer_uid(self.socket)

    def _watch(self) -> None:
        """Let the loop read for us.  It goes on doing so between requests: taking a connection out of the loop's set
        and putting it in again costs more than reading a frame that nobody waits for yet."""
        if not self._watching and not self.closed:
            self._watching = True
            self._loop.add_reader(self.socket.fileno(), self._on_readable)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self.socket.fileno())

    def _on_readable(self) -> None:
        try:
            self.fill()
            if self.failed():
                self._unwatch()  # the rest is read without being told of it
        except ChannelClosed:
            self._unwatch()
        if self._reader.pending > UNREAD_LIMIT and self._readable is None:
            self._unwatch()  # nobody takes it out; the peer shall wait
        self._wake_reader()

    async def _wait_readable(self) -> None:
        if self._end is not None:
            raise self._end
        if self.closed:
            raise ChannelClosed("the channel is closed")
        self._watch()
        self._readable = self._loop.create_future()
        try:
            await self._readable
        finally:
            self._readable = None

    def _wake_reader(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    async def _wait_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self.socket.fileno(), self._wake_writer)
        try:
            await self._writable
        finally:
            if self.socket.fileno() >= 0:
                self._loop.remove_writer(self.socket.fileno())

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def fill(self) -> bool:
        """Read once what has arrived, without waiting.  False where nothing had."""
        if self._end is not None:
            raise self._end
        if self.closed:
            raise ChannelClosed("the channel is closed")
        try:
            if self.takes_descriptors:
                data = receive_with_descriptors(self.socket, 0, self._fds)
            else:
                data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._end = ChannelClosed(f"receive: {error.strerror or error}")
            raise self._end from None
        if len(self._fds) > UNCLAIMED_LIMIT:
            self._end = ChannelClosed("the peer sends descriptors that it does not name")
            raise self._end
        if not data:
            self._end = ChannelClosed("the peer closed the connection")
            raise self._end
        self._reader.feed(data)
        return True

    def failed(self) -> bool:
        """Whether the connection has been reset since the last time; what had arrived before can still be read.

        A peer that dies without having read everything leaves an error.  libuv tells of that once, with whatever has
        arrived, and then watches no more: who waits for the next event would wait for ever.
        """
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    @property
    def unread(self) -> int:
        """About how many bytes of ours the peer has not read yet; 0 is exact.  -1 where that cannot be said."""
        try:
            return int.from_bytes(fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
        except (OSError, ValueError):
            return -1

    @property
    def peer_gone(self) -> bool:
        """Whether the peer has closed its end, or died, however much of what it said is still unread."""
        if self._end is not None or self.closed:
            return True
        poller = select.poll()
        poller.register(self.socket, 0)
        return bool(poller.poll(0))

    def next_frame(self) -> Attributes | None:
        """A frame that has arrived completely, or None; see `Channel.next_frame`."""
        frame = self._reader.frame()
        if frame is not None and self._fds:
            count = frame.integer("fds", 0)
            if not 0 <= count <= len(self._fds):
                raise ProtocolError("fewer descriptors came than the frame says")
            frame.fds, self._fds = self._fds[:count], self._fds[count:]
        return frame

    def next_chunk(self) -> bytes | None:
        """A chunk that has arrived completely, b"" at the end of the content, or None.  Raises ContentAborted."""
        return self._reader.chunk()

    async def receive(self, timeout: float | None = None) -> Attributes:
        """Wait for a frame, at most `timeout` seconds.  Raises ChannelClosed, ProtocolError."""
        if timeout is not None:
            try:
                return await asyncio.wait_for(self.receive(), timeout)
            except TimeoutError:
                raise ChannelClosed(f"no answer within {timeout:g} seconds") from None
        while (frame := self.next_frame()) is None:
            # When draining, what has arrived and the loop has not read yet is a request that wants its answer.
            if (self._watching and not self._draining) or not self.fill():
                if self._draining and not self._reader.pending:
                    raise ChannelClosed("the service is stopping")
                await self._wait_readable()
        return frame

    @property
    def alive(self) -> bool:
        """Whether an idle connection is usable: neither ended nor holding bytes that nobody asked for."""
        if self._end is None and not self.closed:
            with contextlib.suppress(ChannelClosed):  # its end may have come since the loop last looked
                self.fill()
        return not self.closed and self._end is None and not self._reader.pending

    def drain(self) -> None:
        """The service is stopping: end the connection once it is idle, that is, between two requests."""
        if self.on_drain is not None:
            self.on_drain()
            return
        self._draining = True
        self._wake_reader()

    async def send(self, members: Mapping[str, object], fds: Sequence[int] = (), content: bytes = b"") -> None:
        """Send a frame, its descriptors, and `content` (already in chunks) behind it."""
        await self.send_raw(encode_frame({**members, "fds": len(fds)} if fds else members) + content, fds)

    async def send_raw(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send bytes that are frames or chunks already, `fds` with the first of them; waits while the peer does not
        read."""
        view = memoryview(data)
        while view:
            try:
                view = view[socket.send_fds(self.socket, [view], fds) if fds else self.socket.send(view) :]
                fds = ()
            except (BlockingIOError, InterruptedError):
                await self._wait_writable()
            except OSError as error:
                raise ChannelClosed(f"send: {error.strerror or error}") from None

    async def send_chunk(self, content: bytes) -> None:
        """Send a piece of content."""
        await self.send_raw(encode_chunk(content))

    async def end_chunks(self) -> None:
        """Say that the content is complete."""
        await self.send_raw(END_OF_CONTENT)

    async def abort_chunks(self) -> None:
        """Withdraw the content."""
        await self.send_raw(ABORT_CONTENT)

    async def call(self, members: Mapping[str, object], fds: Sequence[int] = ()) -> Attributes:
        """Send a request and wait for its reply."""
        await self.send(members, fds)
        return await self.receive()

    async def read_chunk(self) -> bytes:
        """Wait for a piece of content; b"" at its end.  Raises ContentAborted where the sender withdrew it."""
        while (chunk := self._reader.chunk()) is None:
            if self._watching or not self.fill():
                await self._wait_readable()
        return chunk

    def detach(self) -> socket.socket:
        """Give the socket away: the channel reads no more.  Raises ProtocolError where it has read too much already."""
        self._unwatch()
        if self._reader.pending or self._fds:
            raise ProtocolError("bytes or descriptors came that nobody asked for")
        self.closed = True
        return self.socket

    def close(self) -> None:
        """End the connection; a task that waits on it gets ChannelClosed."""
        if self.closed:
            return
        self.closed = True
        for future in (self._readable, self._writable):
            if future is not None and not future.done():
                future.set_exception(ChannelClosed("the channel is closed"))
        if self.socket.fileno() >= 0:
            self._unwatch()
            self._loop.remove_writer(self.socket.fileno())
        for descriptor in self._fds:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._fds = []
        self.socket.close()


async def _connect_patiently(sock: socket.socket, path: str) -> None:
    delay = 0.001
    while True:
        try:
            sock.connect(path)
            return
        except BlockingIOError:
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.1)
