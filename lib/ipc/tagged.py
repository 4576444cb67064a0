"""Many requests at once on one connection: each carries a tag, its reply the same; replies come as the work ends.

client = TaggedClient(channel, 60.0)
reply = await client.call({"do": ...})

await serve_tagged(channel, answer)       # the other end: answer(request) is run once for each, all beside each other
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping

from pillarbox.lib.ipc.aio import AsyncChannel
from pillarbox.lib.ipc.frames import Attributes, ChannelClosed, ProtocolError
from pillarbox.lib.log import log

OUTSTANDING_LIMIT = 1000
"""Requests of one connection under work; further ones wait in the socket."""

Answer = Callable[[Attributes], Awaitable[Mapping[str, object]]]


class TaggedClient:
    """The asking end.  `timeout`: seconds to wait for an answer."""

    def __init__(self, channel: AsyncChannel, timeout: float) -> None:
        self._channel = channel
        self._timeout = timeout
        self._tags = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Attributes]] = {}
        self._sending = asyncio.Lock()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @property
    def closed(self) -> bool:
        """Whether no more can be asked."""
        return self._channel.closed

    async def call(self, request: Mapping[str, object]) -> Attributes:
        """The answer to a request.  Raises ChannelClosed, TimeoutError."""
        tag = next(self._tags)
        answer = self._waiting[tag] = asyncio.get_running_loop().create_future()
        try:
            async with self._sending:
                await self._channel.send({**request, "tag": tag})
            return await asyncio.wait_for(answer, self._timeout)
        except ChannelClosed:
            self.close()
            raise
        finally:
            self._waiting.pop(tag, None)

    async def _read(self) -> None:
        reason = "the connection was closed"
        try:
            while True:
                reply = await self._channel.receive()
                answer = self._waiting.get(reply.integer("tag"))
                if answer is not None and not answer.done():
                    answer.set_result(reply)
        except (ChannelClosed, ProtocolError) as error:
            reason = str(error)
        finally:
            self._channel.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ChannelClosed(reason))

    def close(self) -> None:
        """End the connection; `_read` wakes up and tells those who wait."""
        self._channel.close()
        self._reader.cancel()


async def serve_tagged(channel: AsyncChannel, answer: Answer) -> None:
    """Answer requests to the end of the connection, which raises ChannelClosed or ProtocolError.

    A request for which `answer` raises ProtocolError is refused, logged and ends the connection: our own programs do
    not make such.  When stopping, requests under work are still answered; when the peer is
    gone, their answers are lost.
    """
    sending = asyncio.Lock()
    room = asyncio.Semaphore(OUTSTANDING_LIMIT)
    tasks: set[asyncio.Task[None]] = set()

    async def work(request: Attributes) -> None:
        broken = False
        reply: Mapping[str, object]
        try:
            reply = await answer(request)
        except ProtocolError as error:
            log.warning(f"request from uid {channel.peer_uid}: {error}")
            reply, broken = {"ok": False, "why": str(error)}, True
        try:
            async with sending:
                await channel.send({**reply, "tag": request.get("tag")})
        except ChannelClosed:
            broken = True
        if broken:
            channel.close()

    def done(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        room.release()

    try:
        while True:
            await room.acquire()
            task = asyncio.get_running_loop().create_task(work(await channel.receive()))
            tasks.add(task)
            task.add_done_callback(done)
    finally:
        if tasks:
            await asyncio.wait(tasks)
