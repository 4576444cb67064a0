"""Frames on their way out of an asyncio program: those of one turn of the event loop share a system call.

    outbox = Outbox(channel, on_failure)
    outbox.put(frame)                # never waits
    if outbox.full:
        await outbox.flushed()       # the peer does not read: neither do we

One frame alone is as fast as without; a hundred questions or answers that come up together cost one `send` and wake
their peer once.  Descriptors may go with a frame; copies of them are kept until it has gone out, so that whoever gives
up closes what is theirs, and no other file goes out in its place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from pillarbox.lib.ipc.aio import AsyncChannel
from pillarbox.lib.ipc.blocking import MAX_FDS, close_all
from pillarbox.lib.ipc.frames import ChannelClosed

FULL = 262_144
"""Bytes that wait for the peer; whoever can wait does so beyond it."""


class Outbox:
    """The sending side of one channel, which nobody else sends on.  `failed` hears once that nothing more will go."""

    def __init__(self, channel: AsyncChannel, failed: Callable[[ChannelClosed], None]) -> None:
        self._channel = channel
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._fds: list[int] = []
        self.size = 0
        """Bytes that have not gone out."""
        self._task: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether the peer is behind."""
        return self.size > FULL

    def put(self, frame: bytes, fds: Sequence[int] = ()) -> None:
        """Let a frame go out behind those before it, which names `fds` (`Channel.next_frame`).  Raises OSError where
        there is no room for descriptors."""
        known = len(self._fds)
        try:
            for descriptor in fds:
                self._fds.append(os.dup(descriptor))
        except OSError:
            close_all(self._fds[known:])
            del self._fds[known:]
            raise
        self._frames.append(frame)
        self.size += len(frame)
        if self._task is None:
            self._task = self._loop.create_task(self._send())

    async def flushed(self) -> None:
        """Wait until all has gone out, or nothing will."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _send(self) -> None:
        fds: list[int] = []
        try:
            while self._frames:
                data = b"".join(self._frames)
                self._frames.clear()
                fds, self._fds = self._fds, []
                # A reader takes so many descriptors at a time; those that go ahead of their frame wait for it there.
                while len(fds) > MAX_FDS:
                    await self._channel.send_raw(data[:1], fds[:MAX_FDS])
                    close_all(fds[:MAX_FDS])
                    data, fds = data[1:], fds[MAX_FDS:]
                    self.size -= 1
                await self._channel.send_raw(data, fds)
                close_all(fds)
                fds = []
                self.size -= len(data)
        except ChannelClosed as error:
            self._frames.clear()
            close_all(self._fds)
            self._fds.clear()
            self.size = 0
            self._failed(error)
        finally:
            close_all(fds)
            self._task = None
