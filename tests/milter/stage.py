"""The milter service with scripted milters, in one process: no forks, no real libmilter, every byte under control."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pillarbox.lib.clients.cleanup import Examined
from pillarbox.lib.clients.milter import AsyncMilterSession, Decision, Peer
from pillarbox.lib.config import Config
from pillarbox.lib.config.milters import MilterSpec
from pillarbox.lib.dns import Hosts, Resolver
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.milter import PacketReader
from pillarbox.lib.milter.packets import ABORT, MACRO, NEGOTIATE, QUIT, encode
from pillarbox.lib.queue.edits import Edits
from pillarbox.milter.program import Service

ID = "4jXFYl6dnjzKD6m"
OWN = f"Received: from a (b [192.0.2.1])\n\tby mx.example (Pillarbox) with ESMTP id {ID};\n\tdate\n".encode()
HEADER = OWN + b"From: a@b.example\nSubject: hello\n"
BODY = b"one\ntwo\n"
PEER = Peer("client.example", "4", 4711, "192.0.2.1")

CONTINUE = encode(b"c")
AGREE = encode(NEGOTIATE, struct.pack(">III", 6, 0x1FF, 0x400))

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] | None
"""What a scripted milter does when it gets a packet: bytes to send, something to do, or (None) nothing: it hangs."""


async def close(writer: asyncio.StreamWriter) -> None:
    """Go away."""
    writer.close()


def then_close(data: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Say something, then go away."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return act


@dataclass
class Scripted:
    """A milter: answers by command letter; what is not listed is answered with "continue"."""

    answers: dict[bytes, Answer] = field(default_factory=dict)
    got: list[tuple[bytes, bytes]] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets = PacketReader()
        try:
            while data := await reader.read(65536):
                packets.feed(data)
                while (packet := packets.packet()) is not None:
                    self.got.append(packet)
                    await self._answer(packet[0], writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.got.append((b"gone", b""))
            writer.close()

    async def _answer(self, command: bytes, writer: asyncio.StreamWriter) -> None:
        if command in (MACRO, ABORT, QUIT) and command not in self.answers:
            return
        answer = self.answers.get(command, AGREE if command == NEGOTIATE else CONTINUE)
        if isinstance(answer, bytes):
            writer.write(answer)
        elif answer is not None:
            await answer(writer)

    def steps(self) -> str:
        """The letters of what it got, macros aside."""
        return "".join(command.decode() for command, _ in self.got if command not in (MACRO, b"gone"))


@dataclass
class Stage:
    """A service, and one client session with it."""

    path: str
    specs: list[MilterSpec]
    lines: list[str]
    session: AsyncMilterSession
    servers: list[asyncio.Server]

    async def run(self, *steps: str) -> tuple[Decision, Edits]:
        """Steps of a session in order (`open helo mail rcpt data end`); the first that does not go on, or the last."""
        decision, edits = Decision(), Edits()
        for step in steps or ("open", "helo", "mail", "rcpt", "data", "end"):
            if step == "open":
                decision = await self.session.open(PEER, {"j": "mx.example"})
            elif step == "end":
                decision, edits = await self.end()
            elif step == "abort":
                self.session.abort()
            elif self.session.wants(step):
                arguments = {"mail": ("<a@b.example>",), "rcpt": ("<c@d.example>",), "helo": ("client.example",)}
                decision = await self.session.step(step, arguments.get(step, ()), {"i": ID})
            if decision.refusal is not None or decision.shutdown or decision.discard:
                break
        return decision, edits

    async def end(self, header: bytes = HEADER, body: bytes = BODY) -> tuple[Decision, Edits]:
        """The end of a message."""
        with tempfile.TemporaryFile() as content:
            content.write(b"envelope\n" + header + b"\n" + body + b"old content of the file\n")
            content.flush()
            examined = Examined(content.fileno(), 9, len(header) + 1 + len(body), len(header))
            return await self.session.end(examined, {"i": ID}, queue_id=ID)


def read_all(descriptor: int) -> bytes:
    """The content of a memory file."""
    return os.pread(descriptor, 1 << 24, 0)


@contextlib.asynccontextmanager
async def stage(
    *milters: Scripted, directory: Path, action: str = "tempfail", timeout: float = 20
) -> AsyncIterator[Stage]:
    """A service with these milters."""
    servers = []
    for milter in milters:
        server = await asyncio.start_server(milter.serve, "127.0.0.1", 0)
        milter.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    endpoints = [f"inet:127.0.0.1:{milter.port}" for milter in milters]
    config = Config.for_tests(smtpd_milters=", ".join(endpoints), myorigin="mx.example", queue_directory=str(directory))
    service = Service(config, Resolver((), hosts=Hosts("")))
    path = str(directory / "milter")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def session(channel: AsyncChannel) -> None:
        try:
            await service.serve(channel)
        except ChannelClosed:
            pass
        except ProtocolError as error:
            log.warning(f"protocol error: {error}")
        finally:
            channel.close()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            tasks.add(loop.create_task(session(AsyncChannel(connection))))

    accepting = loop.create_task(accept())
    specs = [MilterSpec(endpoint, timeout, timeout, timeout, action) for endpoint in endpoints]
    with log.capture() as lines:
        client = AsyncMilterSession(path, specs, {})
        try:
            yield Stage(path, specs, lines, client, servers)
        finally:
            client.close()
            accepting.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(accepting, *tasks, return_exceptions=True)
            for server in servers:
                server.close()
            listener.close()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a loop of its own; one that hangs fails."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())
