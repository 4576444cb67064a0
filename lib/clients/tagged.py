"""One connection with many questions under way: answers come in any order and are told apart by a tag."""

from __future__ import annotations

import asyncio
import contextlib

from pillarbox.lib.ipc import AsyncChannel, Attributes, ChannelClosed, ProtocolError


class NoAnswer(Exception):
    """The time for an answer is over; the connection lives."""


class TaggedConnection:
    """Puts questions; a task takes the answers in."""

    def __init__(self, channel: AsyncChannel, timeout: float) -> None:
        self._channel = channel
        self._timeout = timeout
        self._waiting: dict[int, asyncio.Future[Attributes]] = {}
        self._sending = asyncio.Lock()
        self._tag = 0
        self.broken = False
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def ask(self, request: dict[str, object]) -> Attributes:
        """Ask and wait.  Raises ChannelClosed, NoAnswer."""
        self._tag = tag = self._tag + 1
        request["tag"] = tag
        future: asyncio.Future[Attributes] = asyncio.get_running_loop().create_future()
        self._waiting[tag] = future
        try:
            await self.tell(request)
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            raise NoAnswer(f"no answer within {self._timeout:g} seconds") from None
        finally:
            self._waiting.pop(tag, None)

    async def tell(self, request: dict[str, object]) -> None:
        """Send without waiting for an answer.  Raises ChannelClosed."""
        try:
            async with self._sending:
                await self._channel.send(request)
        except ChannelClosed as error:
            self.fail(error)
            raise

    async def _read(self) -> None:
        try:
            while True:
                reply = await self._channel.receive()
                future = self._waiting.get(reply.integer("tag", 0))
                if future is not None and not future.done():
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
