"""A queue manager's parts on one event loop, with agents and a `bounce` that do what a test says."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupUnavailable, Route
from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.delivery.request import DeliveryRequest, parse_request
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Queue, QueueFile, Recipient, StoredRecipient, compose_header, encode_id
from pillarbox.lib.queue.file import HEADER_SIZE, first_line
from pillarbox.qmgr.failures import Failures
from pillarbox.qmgr.intake import Intake
from pillarbox.qmgr.scheduler import Scheduler
from pillarbox.qmgr.timetable import Timetable

PATIENCE = 20.0
"""Seconds; a test that waits so long has failed."""

all_parameters()


class Clock:
    """The wall clock, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class FakeLookup:
    """Every domain is a next hop of transport `there`; `TRANSPORT.test` is one of that transport."""

    def __init__(self) -> None:
        self.down = False
        self.routes: dict[str, Route] = {}
        self.asked: list[str] = []

    def known_route(self, recipient: str, sender: str = "") -> Route | None:
        return None if self.down else self.routes.get(recipient)

    async def resolve(self, recipient: str, sender: str = "") -> Route:
        self.asked.append(recipient)
        await asyncio.sleep(0)
        if self.down:
            raise LookupUnavailable("lookup service: gone")
        return self.routes.get(recipient) or Route("there", recipient.rpartition("@")[2], recipient, "default")


@dataclass
class FakeBounce:
    """Remembers what it was told."""

    down: bool = False
    flush_fails: int = 0
    appended: list[tuple[str, str, str, str, bool]] = field(default_factory=list)
    flushed: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    ends: dict[str, float] = field(default_factory=dict)
    """When waiting recipients are given up whose destination says so."""

    async def append(
        self,
        kind: str,
        queue_id: str,
        recipient: Recipient,
        result: Result,
        *,
        fresh: bool = False,
        tidy: bool = False,
        until: float = 0.0,
    ) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise ServiceUnavailable("bounce: gone")
        if until:
            self.ends[recipient.address] = until
        self.appended.append((kind, recipient.address, result.dsn, result.text, fresh))

    async def flush(self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int) -> tuple[str]:
        await asyncio.sleep(0)
        if self.down or self.flush_fails:
            self.flush_fails -= bool(self.flush_fails)
            raise ServiceUnavailable("bounce: cleanup: queue file write error")
        self.flushed.append(queue_id)
        return ("NEW",)

    async def warn(self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int) -> tuple[()]:
        self.warned.append(queue_id)
        return ()

    async def forget(self, queue_id: str) -> None:
        self.forgotten.append(queue_id)

    def log(self, kind: str) -> list[str]:
        """The addresses in one log."""
        return [address for one, address, *_ in self.appended if one == kind]


Behaviour = Callable[["FakeAgent", DeliveryRequest], Coroutine[Any, Any, None]]


class FakeAgent:
    """One accepted connection of the queue manager."""

    def __init__(self, service: FakeAgents, channel: AsyncChannel) -> None:
        self.service = service
        self.channel = channel
        self.asked: list[str] = []

    async def answer(self, request: DeliveryRequest, results: Sequence[Result], site: str = "") -> None:
        frame = {"tag": request.tag, "results": [result.frame() for result in results], "site": site}
        await self.channel.send(frame)

    async def all(self, request: DeliveryRequest, status: str, dsn: str, text: str, site: str = "") -> None:
        await self.answer(
            request, [Result(one.n, status, dsn, text, "relay[1.2.3.4]:25") for one in request.recipients], site
        )


class FakeAgents:
    """A delivery agent service: a listening socket, and what it does with each request."""

    def __init__(self, directory: Path, name: str, behave: Behaviour, capacity: int, waiting: int) -> None:
        self.name, self.behave, self.capacity, self.waiting = name, behave, capacity, waiting
        self.requests: list[DeliveryRequest] = []
        self.contents: list[bytes] = []
        self.most = self.running = 0
        self.agents: list[FakeAgent] = []
        self.sites: dict[str, str] | None = None
        """What it tells of next hops; None: it tells no sites."""
        self.asked: list[str] = []
        self.site_gate: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.listener.bind(str(directory / name))
        self.listener.listen(64)
        self._spawn(self._accept())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self.listener)
            self._spawn(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        channel = AsyncChannel(connection)
        agent = FakeAgent(self, channel)
        self.agents.append(agent)
        try:
            hello: dict[str, object] = {"hello": self.name, "capacity": self.capacity, "waiting": self.waiting}
            await channel.send(hello if self.sites is None else {**hello, "sites": True})
            while True:
                frame = await channel.receive()
                if frame.text("do") == "site":
                    self.asked.append(frame.text("nexthop"))
                    agent.asked.append(frame.text("nexthop"))
                    self._spawn(self._tell(channel, frame.integer("tag"), frame.text("nexthop")))
                    continue
                request = parse_request(frame, time.time())
                self.requests.append(request)
                self.contents.append(os.pread(request.content.fd, request.content.size, request.content.offset))
                self._spawn(self._one(agent, request))
        except ChannelClosed:
            channel.close()

    async def _tell(self, channel: AsyncChannel, tag: int, nexthop: str) -> None:
        if self.site_gate is not None:
            await self.site_gate.wait()
        assert self.sites is not None
        await channel.send({"tag": tag, "site": self.sites.get(nexthop, ""), "ttl": 600.0})

    async def _one(self, agent: FakeAgent, request: DeliveryRequest) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.behave(agent, request)
        except ChannelClosed:
            pass
        finally:
            self.running -= 1
            request.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.listener.close()
        for agent in self.agents:
            agent.channel.close()

    @property
    def addresses(self) -> list[str]:
        return [one.address for request in self.requests for one in request.recipients]


async def sends(agent: FakeAgent, request: DeliveryRequest) -> None:
    await agent.all(request, SENT, "2.0.0", "taken")


async def defers(agent: FakeAgent, request: DeliveryRequest) -> None:
    await agent.all(request, DEFERRED, "4.2.0", "busy")


async def bounces(agent: FakeAgent, request: DeliveryRequest) -> None:
    await agent.all(request, BOUNCED, "5.1.1", "no such user")


async def unreachable(agent: FakeAgent, request: DeliveryRequest) -> None:
    await agent.all(request, DEFERRED, "4.4.1", "connect: Connection refused", "connect: Connection refused")


class Stage:
    """What a test has in its hands."""

    def __init__(self, root: Path, settings: dict[str, str], processes: int, command: str = "virtual") -> None:
        self.spool = root / "spool"
        Queue(str(self.spool)).create()
        services = {name: Service(name, command, processes=processes) for name in ("there", "other", "away")}
        self.config = Config({"queue_directory": str(self.spool), **settings}, services)
        self.clock = Clock()
        self.lookup, self.bounce = FakeLookup(), FakeBounce()
        self.timetable = Timetable()
        self.lines: list[str] = []
        self.services: list[FakeAgents] = []
        self.scheduler: Scheduler
        self.intake: Intake

    def start(self) -> None:
        """Begin anew, as a new process would."""
        failures = Failures(self.config, self.bounce)  # type: ignore[arg-type]
        self.timetable = Timetable()
        self.scheduler = Scheduler(self.config, self.lookup, failures, self.timetable.enter, self.clock)  # type: ignore[arg-type]
        self.intake = Intake(self.config, self.timetable, self.clock)
        self.intake.scheduler = self.scheduler
        self.scheduler.active.on_room = self.intake.look_again
        self.intake.recover()

    def agents(
        self, behave: Behaviour = sends, *, name: str = "there", capacity: int = 10, waiting: int = 0
    ) -> FakeAgents:
        service = FakeAgents(self.spool / "private", name, behave, capacity, waiting)
        self.services.append(service)
        return service

    def put(
        self, *addresses: str | Recipient, queue: str = "incoming", content: bytes = b"X: y\n\nz\n", **more: Any
    ) -> str:
        """Put a message into a directory; its id."""
        recipients = tuple(one if isinstance(one, Recipient) else Recipient(one) for one in addresses)
        values: dict[str, Any] = {"sender": "sender@here.test", "arrival": self.clock(), **more}
        head, offset = compose_header(Envelope(recipients=recipients, **values))
        temporary = self.spool / queue / ".new"
        temporary.write_bytes(first_line(offset, len(content), len(recipients)) + head[HEADER_SIZE:] + content)
        queue_id = encode_id(time.time_ns() // 1000, temporary.stat().st_ino)
        temporary.rename(self.spool / queue / queue_id)
        return queue_id

    def where(self, queue_id: str) -> str:
        """The directory a message is in, or ""."""
        found = [
            name for name in ("incoming", "active", "deferred", "hold", "corrupt") if self.path(name, queue_id).exists()
        ]
        assert len(found) <= 1, f"{queue_id} is in {found} at once"
        return found[0] if found else ""

    def path(self, queue: str, queue_id: str) -> Path:
        return self.spool / queue / queue_id

    def recipients(self, queue: str, queue_id: str) -> list[StoredRecipient]:
        file = QueueFile(os.open(self.path(queue, queue_id), os.O_RDONLY))
        try:
            return list(file.recipients())
        finally:
            file.close()

    def pump(self) -> None:
        self.scheduler.timers.run_due()
        while not self.intake.pump():
            pass

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, looking for messages meanwhile."""
        self.intake.look_again()
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to pass; the log: {self.lines}"
            self.pump()
            await asyncio.sleep(0.002)

    async def settle(self) -> None:
        """Take up what is in incoming/, and wait until nothing is under way."""
        self.intake.look_again()
        self.pump()
        await self.until(lambda: self.scheduler.idle and not self.scheduler.active.messages)

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def on_stage(
    root: Path,
    work: Callable[[Stage], Coroutine[Any, Any, None]],
    *,
    processes: int = 2,
    command: str = "virtual",
    **settings: str,
) -> Stage:
    """Run a scenario."""

    async def scenario() -> Stage:
        stage = Stage(root, settings, processes, command)
        with log.capture() as stage.lines:
            stage.start()
            try:
                await asyncio.wait_for(work(stage), PATIENCE * 2)
            finally:
                stage.scheduler.close()
                for service in stage.services:
                    service.close()
                await asyncio.sleep(0)
        return stage

    return asyncio.run(scenario())
