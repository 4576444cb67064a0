"""A session of the server on a socket pair, spoken to line by line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pillarbox.imapd.session.loop import SessionLoop
from pillarbox.imapd.session.watch import Watcher
from pillarbox.lib.config import Config
from pillarbox.lib.login import ClientConnection
from pillarbox.lib.store import open_store

T = TypeVar("T")

MESSAGE = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: first letter\r\n"
    b"Date: Mon, 1 Jan 2024 10:00:00 +0100\r\nMessage-ID: <1@example.org>\r\n\r\nHello Bob,\r\nthis is it.\r\n"
)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a dialogue; one that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(limited())


class Client:
    """One client with its session, on the store at `location`."""

    def __init__(self, location: str, **parameters: str) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.socket = ours
        self._loop = asyncio.get_running_loop()
        self._watcher = Watcher()
        self._connection = ClientConnection(theirs)
        config = Config.for_tests(**parameters)
        self.session = SessionLoop(config, open_store(location), self._connection, "bob", self._watcher)
        self._task = self._loop.create_task(self._serve())
        self._buffer = b""
        self._tags = 0

    async def _serve(self) -> None:
        try:
            await self.session.serve()
        finally:
            self._connection.close()
            self._watcher.close()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def _more(self) -> bool:
        data = await self._loop.sock_recv(self.socket, 65536)
        self._buffer += data
        return bool(data)

    async def line(self) -> bytes:
        """The next line, literals in it included; b"" at the end of the stream."""
        result = b""
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                if not await self._more():
                    rest, self._buffer = self._buffer, b""
                    return result + rest
            line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
            result += line
            if not line.endswith(b"}") or b"{" not in line:
                return result
            size = int(line[line.rindex(b"{") + 1 : -1])
            while len(self._buffer) < size:
                assert await self._more(), "the literal is cut off"
            result += b"\r\n" + self._buffer[:size]
            self._buffer = self._buffer[size:]

    async def until(self, tag: bytes) -> list[bytes]:
        """Lines up to and with the tagged one."""
        lines = []
        while True:
            line = await self.line()
            lines.append(line)
            if line.startswith(tag + b" ") or not line:
                return lines

    async def command(self, text: str | bytes, literal: bytes | None = None) -> list[bytes]:
        """Send a command (with a synchronizing literal at its end); gives the lines of the answer, the tag cut off."""
        self._tags += 1
        tag = b"t%d" % self._tags
        data = text.encode() if isinstance(text, str) else text
        if literal is None:
            await self.send(tag + b" " + data + b"\r\n")
        else:
            await self.send(b"%b %b {%d}\r\n" % (tag, data, len(literal)))
            first = await self.line()
            if not first.startswith(b"+"):
                return [first.removeprefix(tag + b" ")]
            await self.send(literal + b"\r\n")
        lines = await self.until(tag)
        lines[-1] = lines[-1].removeprefix(tag + b" ")
        return lines

    async def ok(self, text: str | bytes, literal: bytes | None = None) -> list[bytes]:
        """As `command`, for one that must succeed; gives the untagged lines."""
        lines = await self.command(text, literal)
        assert lines[-1].startswith(b"OK"), f"{text!r}: {lines[-1]!r}"
        return lines[:-1]

    async def close(self) -> None:
        """The client goes away."""
        self.socket.close()
        await self._task


def location(tmp_path: Path) -> str:
    """A new Maildir."""
    return f"maildir:{tmp_path}/Maildir"
