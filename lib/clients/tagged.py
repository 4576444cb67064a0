"""One connection with many questions under way: answers come in any order and are told apart by a tag."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, Outbox, ProtocolError, encode_frame


class NoAnswer(Exception):
    """The time for an answer is over; the connection lives."""


class TaggedConnection:
    """Puts questions; a task takes the answers in.

    No answer is waited for longer than `timeout` seconds, unless the service says meanwhile that it is working on it.
    """

    def __init__(self, channel: AsyncChannel, timeout: float) -> None:
        self._channel = channel
        self._timeout = timeout
        self._waiting: dict[int, asyncio.Future[Attributes]] = {}
        self._working: set[int] = set()
        """The tags of those that are being worked on, as was said since their time was last looked at."""
        self._outbox = Outbox(channel, self.fail)
        self._tag = 0
        self.broken = False
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def ask(self, request: dict[str, object], fds: Sequence[int] = ()) -> Attributes:
        """Ask and wait; copies of `fds` go along.  Raises ChannelClosed, NoAnswer, and OSError where there is no room
        for the copies."""
        self._tag = tag = self._tag + 1
        request["tag"] = tag
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Attributes] = loop.create_future()
        self._put(request, fds)
        self._waiting[tag] = future
        # A service that hangs does not even take the question.
        timer = loop.call_later(self._timeout, self._too_late, tag)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(tag, None)
            self._working.discard(tag)

    def _too_late(self, tag: int) -> None:
        future = self._waiting.get(tag)
        if future is None or future.done():
            return
        if tag in self._working:
            self._working.discard(tag)
            asyncio.get_running_loop().call_later(self._timeout, self._too_late, tag)
            return
        future.set_exception(NoAnswer(f"no answer within {self._timeout:g} seconds"))
        if self._outbox.size:
            self.fail(ChannelClosed("it takes no questions"))

    def _put(self, request: dict[str, object], fds: Sequence[int] = ()) -> None:
        if self.broken:
            raise ChannelClosed("the connection has ended")
        if fds:
            request["fds"] = len(fds)
        self._outbox.put(encode_frame(request), fds)

    async def tell(self, request: dict[str, object]) -> None:
        """Send without waiting for an answer.  Raises ChannelClosed."""
        self._put(request)
        await self._outbox.flushed()
        if self.broken:
            raise ChannelClosed("the connection has ended")

    async def _read(self) -> None:
        try:
            while True:
                reply = await self._channel.receive()
                tag = reply.integer("tag", 0)
                future = self._waiting.get(tag)
                if future is None or future.done():
                    continue
                if "working" in reply:
                    self._working.add(tag)
                else:
                    future.set_result(reply)
        except (ChannelClosed, ProtocolError) as error:
            self.fail(ChannelClosed(str(error)))

    def fail(self, error: ChannelClosed) -> None:
        """Nothing more can be asked here; whoever waits learns it."""
        if self.broken:
            return
        self.broken = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ChannelClosed(str(error)))
        self._channel.close()
        if self._reader is not asyncio.current_task():
            with contextlib.suppress(RuntimeError):
                self._reader.cancel()


class TaggedClient:
    """The way to one service: connects at the first question, again when the service was restarted.

    A service that could not be reached, or hangs, is not asked again for `retry_after` seconds, so that of many
    sessions only one waits for it.
    """

    def __init__(self, path: str, service: str, timeout: float, retry_after: float) -> None:
        self._path = path
        self._service = service
        self._timeout = timeout
        self._retry_after = retry_after
        self._connection: TaggedConnection | None = None
        self._connecting = asyncio.Lock()
        self.down_until = 0.0
        """The loop's time until when it is not asked."""

    async def ask(self, request: dict[str, object]) -> Attributes:
        """Ask, once more where the connection breaks off; the reply says that it is ok.  Raises ServiceUnavailable."""
        for attempt in (1, 2):
            connection = await self._connected()
            try:
                reply = await connection.ask(request)
                if not reply.boolean("ok"):
                    raise ServiceUnavailable(f"{self._service}: {reply.text('why', 'refused')}")
                return reply
            except ProtocolError as error:
                connection.fail(ChannelClosed("protocol error"))
                raise ServiceUnavailable(f"{self._service}: {error}") from None
            except NoAnswer as error:
                # It hangs, or master has not started it anew yet.
                connection.fail(ChannelClosed(str(error)))
                self.down_until = asyncio.get_running_loop().time() + self._retry_after
                raise ServiceUnavailable(f"{self._service}: {error}") from None
            except ChannelClosed as error:
                if attempt == 2:
                    raise ServiceUnavailable(f"{self._service}: {error}") from None
        raise AssertionError("unreachable")

    async def tell(self, request: dict[str, object]) -> None:
        """Send what needs no answer.  Raises ServiceUnavailable."""
        connection = await self._connected()
        try:
            await connection.tell(request)
        except ChannelClosed as error:
            raise ServiceUnavailable(f"{self._service}: {error}") from None

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None and not self._connection.broken

    async def _connected(self) -> TaggedConnection:
        connection = self._connection
        if connection is not None and not connection.broken:
            return connection
        loop = asyncio.get_running_loop()
        async with self._connecting:
            if self._connection is None or self._connection.broken:
                if loop.time() < self.down_until:
                    raise ServiceUnavailable(f"{self._service}: not available a moment ago")
                try:
                    channel = await AsyncChannel.connect(self._path, self._timeout)
                except ChannelClosed as error:
                    self.down_until = loop.time() + self._retry_after
                    raise ServiceUnavailable(f"{self._service}: {error}") from None
                self._connection = TaggedConnection(channel, self._timeout)
            return self._connection

    def close(self) -> None:
        """End the connection; the next question makes a new one."""
        if self._connection is not None:
            self._connection.fail(ChannelClosed("the client was closed"))
            self._connection = None
