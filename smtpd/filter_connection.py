"""The connection to a filter before the queue: octets and time around `lib.smtp.client_stepwise`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, cast

from pillarbox.lib.config.filter_endpoint import Endpoint
from pillarbox.lib.smtp.client import State
from pillarbox.lib.smtp.client_reply import ReplyError
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_stepwise import StepwiseClient
from pillarbox.lib.smtp.client_transaction import Progress

WRITE_BUFFER: Final = 128 * 1024
"""Octets that wait for the filter before its client is no longer read."""


class FilterFailed(Exception):
    """The filter cannot be talked to; the text says why, for the log."""


class FilterConnection(asyncio.Protocol):
    """One connection.  `timeout`, in seconds, is for each reply, and for each piece of content to be taken."""

    def __init__(self, client: StepwiseClient, timeout: float) -> None:
        self.client = client
        self._timeout = timeout
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._problem = ""

    @classmethod
    async def connect(cls, endpoint: Endpoint, name: str, timeout: float) -> FilterConnection:
        """Connect and say EHLO.  Raises FilterFailed."""
        loop = asyncio.get_running_loop()
        connection = cls(StepwiseClient(name), timeout)
        try:
            async with asyncio.timeout(timeout):
                if endpoint.path:
                    await loop.create_unix_connection(lambda: connection, endpoint.path)
                else:
                    await loop.create_connection(lambda: connection, endpoint.host, endpoint.port)
        except TimeoutError:
            raise FilterFailed("connect: timed out") from None
        except OSError as error:
            raise FilterFailed(f"connect: {error.strerror or error}") from None
        client = connection.client
        try:
            await connection.settle()
            client.hello()
            await connection.settle()
            if client.state is not State.READY and client.state is not State.CLOSING:
                client.hello(extended=False)
                await connection.settle()
            if client.state is not State.READY:
                raise FilterFailed(f"refused: {client.hello_reply or client.greeting}")
        except BaseException:
            connection.close()
            raise
        return connection

    # --- asyncio's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        try:
            self.client.receive(data)
        except ReplyError as error:
            self._problem = f"malformed reply: {error}"
        self._write()
        self._wake()

    def eof_received(self) -> bool:
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def _gone(self) -> None:
        self._problem = self._problem or "lost connection"
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _write(self) -> None:
        output = self.client.take_output()
        if output and self._transport is not None and not self._transport.is_closing():
            self._transport.write(output)

    # --- the owner's side
    @property
    def alive(self) -> bool:
        """Whether nothing speaks against another message."""
        return not self._problem and self.client.reusable

    @property
    def busy(self) -> bool:
        """Whether the filter owes a reply, or is gone."""
        return bool(self._problem) or self.client.waiting is not None or self.client.state is State.CLOSING

    async def settle(self) -> None:
        """Send what is to be sent and wait for what the filter owes.  Raises FilterFailed."""
        await self._until_settled(lambda: self.client.waiting is None)
        if self.client.state is State.CLOSING:
            raise FilterFailed(f"it ends the session: {self.client.unsolicited or 'after ' + self._where()}")

    async def send(self, content: bytes) -> None:
        """Send encoded content, and wait while too much of it waits.  Raises FilterFailed."""
        if not self._problem and self.client.state is State.MESSAGE:
            self.client.content(content)
        await self._until_settled(lambda: not self._paused)
        if self.client.state is not State.MESSAGE:
            raise FilterFailed(f"it has not waited for the content: {self.client.unsolicited}")

    async def _until_settled(self, settled: Callable[[], bool]) -> None:
        self._write()
        try:
            async with asyncio.timeout(self._timeout):
                while not self._problem and not settled() and self.client.state is not State.CLOSING:
                    self._waiter = asyncio.get_running_loop().create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
        except TimeoutError:
            self._problem = "timed out"
        if self._problem and not (settled() and self.client.state is not State.MESSAGE):
            raise FilterFailed(f"{self._problem} while {self._where()}")

    def _where(self) -> str:
        transaction = self.client.transaction
        if transaction is not None and transaction.progress is Progress.CONTENT:
            return Stage.BODY.doing
        return (self.client.waiting or Stage.QUIT).doing

    def close(self, *, politely: bool = False) -> None:
        """End the connection.  `politely` says QUIT; within content it must not: that would become part of it."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        if politely and self.alive:
            self.client.quit()
            transport.write(self.client.take_output())
            transport.close()
        else:
            with contextlib.suppress(OSError):
                transport.abort()
