"""A milter room that was taken over and answers nonsense: as good as away, and no descriptor of its stays open."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from pathlib import Path

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.cleanup import Examined
from pillarbox.lib.clients.milter import AsyncMilterSession, Peer
from pillarbox.lib.config.milters import MilterSpec
from pillarbox.lib.ipc.frames import encode_frame
from tests.milter.stage import run

PEER = Peer("client.example", "4", 1025, "192.0.2.1")
GOOD = {"steps": ["helo", "end"]}


@pytest.mark.parametrize(
    "answer",
    [
        {"steps": ["end"], "reply": [200, "2.0.0", ["fine"]]},
        {"steps": ["end"], "reply": "550 no"},
        {"steps": ["end"], "hold": 5},
        {"steps": "end"},
        {"steps": ["end"], "discard": "yes"},
        {"steps": ["end"], "edits": "all"},
        {"steps": ["end"], "edits": {"files": ["header", "body"]}},
        {"steps": ["end"], "edits": {"files": ["header"], "recipients": [{"address": 7}]}},
    ],
    ids=str,
)
def test_an_answer_that_is_none(answer: dict[str, object]) -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = str(Path(directory) / "milter")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                session = AsyncMilterSession(path, [MilterSpec("inet:127.0.0.1:1")], {})
                listener.settimeout(10)
                await _talk(session, listener, answer)

    run(scenario)


async def _talk(session: AsyncMilterSession, listener: socket.socket, answer: dict[str, object]) -> None:
    def room() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(65536)
            connection.sendall(encode_frame(GOOD))
            connection.recv(65536)
            with tempfile.TemporaryFile() as file:
                socket.send_fds(connection, [encode_frame({**answer, "fds": 1})], [file.fileno()])
            connection.recv(65536)

    loop = asyncio.get_running_loop()
    served = loop.run_in_executor(None, room)
    await session.open(PEER, {})
    with tempfile.TemporaryFile() as content:
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(ServiceUnavailable):
            await session.end(Examined(content.fileno(), 0, 0, 0), {}, queue_id="4jXFYl6dnjzKD6m")
        await served
        # The room's own ends of the connection may have gone too; what it sent must not have come to stay.
        assert set(os.listdir("/proc/self/fd")) <= before
    assert session.lost
