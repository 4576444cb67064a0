"""The answering end of a connection with many requests under way: each has a tag, its reply the same tag.

await serve_tagged(channel, answer)       # answer(request) for each, all beside each other; replies as the work ends

The asking end is `pillarbox.lib.clients.tagged`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pillarbox.lib.ipc.aio import AsyncChannel
from pillarbox.lib.ipc.frames import Attributes, ProtocolError, encode_frame
from pillarbox.lib.ipc.outbox import Outbox
from pillarbox.lib.log import log

OUTSTANDING_LIMIT = 5000
"""Requests of one connection under work; further ones wait in the socket.  More than any service has sessions in a
process: answers to wrong passwords are held back, and must not hold up those to right ones."""

Answer = Callable[[Attributes], Awaitable[Mapping[str, object]]]


async def serve_tagged(channel: AsyncChannel, answer: Answer) -> None:
    """Answer requests to the end of the connection, which raises ChannelClosed or ProtocolError.

    A request for which `answer` raises ProtocolError is refused, logged and ends the connection: our own programs do
    not make such.  When stopping, requests under work are still answered; when the peer is
    gone, their answers are lost.
    """
    outbox = Outbox(channel, lambda error: channel.close())
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
        outbox.put(encode_frame({**reply, "tag": request.get("tag")}))
        if broken:
            await outbox.flushed()
            channel.close()
        elif outbox.full:
            await outbox.flushed()

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
        await outbox.flushed()
