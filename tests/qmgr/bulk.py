"""A queue manager under a load of its own, in a process of its own, so that its memory can be read.

    python -m tests.qmgr.bulk discard 1000000      one message to so many recipients, to the transport discard
    python -m tests.qmgr.bulk agent 1000000        the same to an agent that answers at once
    python -m tests.qmgr.bulk queue 200000         so many messages in incoming/
    python -m tests.qmgr.bulk held 10000           the same, and nothing is answered until all are in the active queue

A further number stands for the defaults of qmgr_message_recipient_limit and qmgr_message_active_limit.
It prints what it counted as JSON; memory in kB.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, compose_header, encode_id
from pillarbox.lib.queue.file import HEADER_SIZE, first_line
from tests.qmgr.stage import FakeAgent, FakeBounce, Stage, sends

DOMAINS = 1000


class AnyWay:
    """A lookup that knows the way of every address."""

    def __init__(self, transport: str) -> None:
        self.transport = transport

    def known_route(self, recipient: str, sender: str = "") -> Route:
        return Route(self.transport, recipient.rpartition("@")[2], recipient, "default")


def put_one_to_many(stage: Stage, recipients: int) -> str:
    """A message whose list of recipients is written in a stream."""
    head, start = compose_header(Envelope("sender@here.test", (), time.time()))
    path = stage.spool / "incoming" / ".new"
    with path.open("wb") as stream:
        stream.write(b" " * HEADER_SIZE + head[HEADER_SIZE:])
        for n in range(recipients):
            stream.write(b'T{"address":"u%d@d%d.test"}\n' % (n, n % DOMAINS))
        offset = stream.tell()
        stream.write(b"X: y\n\nz\n")
        stream.seek(0)
        stream.write(first_line(offset, 8, recipients))
    assert start <= offset
    queue_id = encode_id(time.time_ns() // 1000, path.stat().st_ino)
    path.rename(stage.spool / "incoming" / queue_id)
    return queue_id


def put_many(stage: Stage, messages: int) -> None:
    for n in range(messages):
        stage.put(f"u@d{n % DOMAINS}.test")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def work_off(stage: Stage) -> None:
    while not stage.intake.pump():
        await asyncio.sleep(0)
    while stage.scheduler.active.messages or os.listdir(stage.spool / "incoming"):
        stage.intake.look_again()
        stage.scheduler.timers.run_due()
        stage.intake.pump()
        await asyncio.sleep(0.002)


async def scene(root: Path, kind: str, count: int, limits: dict[str, str]) -> dict[str, int]:
    stage = Stage(root, limits, 2)
    stage.lookup = AnyWay("discard" if kind == "discard" else "there")  # type: ignore[assignment]
    stage.bounce = FakeBounce()
    answered = most_in_core = most_active = 0
    gate = asyncio.Event()

    async def quick(agent: FakeAgent, request: Any) -> None:
        nonlocal answered
        if kind == "held":
            await gate.wait()
        answered += len(request.recipients)
        agent.service.requests.clear()
        agent.service.contents.clear()
        await sends(agent, request)

    if kind in ("queue", "held"):
        put_many(stage, count)
    else:
        put_one_to_many(stage, count)
    before = peak()
    with log.capture():
        log._write = lambda line: None
        stage.start()
        room = stage.scheduler.room
        read = room.read

        def watching(message: Any, many: int) -> None:
            nonlocal most_in_core, most_active
            read(message, many)
            most_in_core = max(most_in_core, room.in_core)
            most_active = max(most_active, len(stage.scheduler.active.messages))

        room.read = watching  # type: ignore[method-assign]
        service = stage.agents(quick, capacity=100)
        if kind == "held":
            while len(stage.scheduler.active.messages) < count:
                stage.intake.look_again()
                stage.intake.pump()
                await asyncio.sleep(0)
            gate.set()
        await work_off(stage)
        stage.scheduler.close()
        service.close()
        await asyncio.sleep(0)
    left = sum(len(os.listdir(stage.spool / name)) for name in ("incoming", "active", "deferred", "corrupt"))
    return {
        "answered": answered,
        "left": left,
        "in_core": most_in_core,
        "active": most_active,
        "grown": peak() - before,
        "peak": peak(),
    }


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    limits = (
        dict.fromkeys(("qmgr_message_recipient_limit", "qmgr_message_active_limit"), sys.argv[3])
        if sys.argv[3:]
        else {}
    )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(scene(Path(directory), kind, count, limits))))


if __name__ == "__main__":
    main()
