"""The service `showq`: one task per caller, so that one who does not read delays nobody."""

from __future__ import annotations

import asyncio

from pillarbox.lib.clients.showq import entry_frames
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import QUEUE_DIRECTORY
from pillarbox.lib.ipc import AsyncChannel, ProtocolError
from pillarbox.lib.process import Program, Worker, serve_channels
from pillarbox.lib.queue import QUEUES, Queue
from pillarbox.lib.queue.listing import ORDER, entries
from pillarbox.lib.system.confinement import Confinement

REQUEST_TIMEOUT = 60.0
"""Seconds in which a caller must say what it wants."""


async def answer(queue: Queue, channel: AsyncChannel) -> None:
    """Answer requests on one connection until it ends.  Raises ChannelClosed, ProtocolError."""
    while True:
        frame = await channel.receive(REQUEST_TIMEOUT)
        if frame.text("do") != "list":
            await channel.send({"ok": False, "why": "a request to list was expected"})
            raise ProtocolError(f'there is no request "{frame.text("do")}"')
        try:
            for entry in entries(queue):
                for part in entry_frames(entry):
                    await channel.send(part)
                await asyncio.sleep(0)  # let other callers and the watchdog have their turn
        except OSError as error:
            await channel.send({"ok": False, "why": f"{error.filename}: {error.strerror}"})
            continue
        await channel.send({"end": True})


def confinement(config: Config) -> Confinement:
    """The queue, to read."""
    queue = config[QUEUE_DIRECTORY]
    names = {*QUEUES, *ORDER, "defer"}
    return Confinement(read=tuple(f"{queue}/{name}" for name in sorted(names)), unix=False, fork=False)


def run(worker: Worker) -> None:
    """Serve until stopped."""
    queue = Queue(worker.config[QUEUE_DIRECTORY])

    async def handler(channel: AsyncChannel) -> None:
        await answer(queue, channel)

    serve_channels(worker, handler)


PROGRAM = Program(name="showq", owner="mail_owner", confinement=confinement, run=run)
