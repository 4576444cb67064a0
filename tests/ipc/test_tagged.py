"""Many questions on one connection: what becomes of the others when one is given up half said."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pillarbox.lib.clients.tagged import NoAnswer, TaggedConnection
from pillarbox.lib.ipc import AsyncChannel, Channel, ChannelClosed, FrameReader, encode_frame

LONG = "x" * 250_000


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """A scenario that hangs fails."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


async def _until(channel: AsyncChannel) -> None:
    """Wait until somebody is in the middle of a frame, because the peer does not read."""
    async with asyncio.timeout(10):
        while channel._writable is None:
            await asyncio.sleep(0)


def test_a_question_that_is_given_up_half_said_is_said_to_its_end() -> None:
    """What follows would be read as the rest of it."""

    async def scenario() -> None:
        near, far = socket.socketpair()
        channel = AsyncChannel(near)
        connection = TaggedConnection(channel, 10)
        first = asyncio.create_task(connection.ask({"do": "long", "text": LONG}))
        await _until(channel)
        second = asyncio.create_task(connection.ask({"do": "short"}))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        peer = Channel(far)
        assert (await asyncio.to_thread(peer.receive)).text("do") == "long"
        request = await asyncio.to_thread(peer.receive)
        assert request.text("do") == "short"
        peer.send({"ok": True, "tag": request.integer("tag")})
        assert (await second).boolean("ok")
        connection.fail(ChannelClosed("over"))
        peer.close()

    run(scenario)


def test_questions_of_one_moment_share_a_system_call() -> None:
    async def scenario() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        connection = TaggedConnection(AsyncChannel(near), 10)
        asked = [asyncio.create_task(connection.ask({"do": "short", "n": n})) for n in range(50)]
        far.settimeout(5)
        data = await asyncio.to_thread(far.recv, 1_000_000)
        reader = FrameReader()
        reader.feed(data)
        requests = [reader.frame() for _ in range(50)]
        assert [request.integer("n") for request in requests if request] == list(range(50))
        far.sendall(b"".join(encode_frame({"tag": request.integer("tag")}) for request in requests if request))
        await asyncio.gather(*asked)
        connection.fail(ChannelClosed("over"))
        far.close()

    run(scenario)


def test_a_service_that_does_not_take_questions_is_not_waited_for_without_end() -> None:
    async def scenario() -> None:
        near, far = socket.socketpair()
        connection = TaggedConnection(AsyncChannel(near), 0.2)
        with pytest.raises(NoAnswer):
            await connection.ask({"do": "long", "text": LONG})
        with pytest.raises(ChannelClosed):
            await connection.ask({"do": "short"})
        assert connection.broken
        far.close()

    run(scenario)


def test_one_that_was_not_begun_leaves_it_as_it_was() -> None:
    async def scenario() -> None:
        near, far = socket.socketpair()
        channel = AsyncChannel(near)
        connection = TaggedConnection(channel, 10)
        first = asyncio.create_task(connection.ask({"do": "long", "text": LONG}))
        await _until(channel)
        second = asyncio.create_task(connection.ask({"do": "short"}))
        await asyncio.sleep(0)
        second.cancel()
        peer = Channel(far)
        request = await asyncio.to_thread(peer.receive)
        assert request.text("do") == "long"
        peer.send({"ok": True, "tag": request.integer("tag")})
        assert (await first).boolean("ok")
        assert not connection.broken
        connection.fail(ChannelClosed("over"))
        peer.close()

    run(scenario)


@pytest.mark.parametrize("signs", [0, 3])
def test_who_gives_no_sign_is_given_up_and_the_others_are_not(signs: int) -> None:
    left = signs

    class Patient(TaggedConnection):
        def _too_late(self, tag: int) -> None:
            nonlocal left
            if left and tag == 1:
                left -= 1
                self._working.add(tag)  # as if a sign had come since
            super()._too_late(tag)

    async def scenario() -> None:
        near, far = socket.socketpair()
        connection = Patient(AsyncChannel(near), 0.01)
        with pytest.raises(NoAnswer):
            await connection.ask({"do": "flush"})
        assert not connection.broken
        connection.fail(ChannelClosed("over"))
        far.close()

    run(scenario)
    assert left == 0


def test_a_sign_of_life_is_no_answer() -> None:
    async def scenario() -> None:
        near, far = socket.socketpair()
        connection = TaggedConnection(AsyncChannel(near), 10)
        asked = asyncio.create_task(connection.ask({"do": "flush"}))
        peer = Channel(far)
        tag = (await asyncio.to_thread(peer.receive)).integer("tag")
        peer.send({"ok": True, "working": True, "tag": tag})
        while not connection._working:
            await asyncio.sleep(0)
        peer.send({"ok": True, "ids": ["1"], "tag": tag})
        assert (await asked).texts("ids") == ("1",)
        assert not connection._working
        connection.fail(ChannelClosed("over"))
        peer.close()

    run(scenario)


def test_descriptors_go_with_their_questions_also_when_these_wait(tmp_path: Path) -> None:
    async def scenario() -> None:
        near, far = socket.socketpair()
        channel = AsyncChannel(near)
        connection = TaggedConnection(channel, 10)
        asked = [asyncio.create_task(connection.ask({"do": "long", "text": LONG}))]
        await _until(channel)
        for name in ("a", "b"):
            (tmp_path / name).write_text(name)
            with (tmp_path / name).open("rb") as file:
                asked.append(asyncio.create_task(connection.ask({"do": name}, (file.fileno(),))))
                asked.append(asyncio.create_task(connection.ask({"do": "none"})))
                await asyncio.sleep(0)
        peer = Channel(far)
        for wanted in ("long", "a", "none", "b", "none"):
            request = await asyncio.to_thread(peer.receive)
            assert request.text("do") == wanted
            assert len(request.fds) == (wanted in "ab")
            for descriptor in request.fds:
                assert os.read(descriptor, 10).decode() == wanted
                os.close(descriptor)
            peer.send({"ok": True, "tag": request.integer("tag")})
        await asyncio.gather(*asked)
        connection.fail(ChannelClosed("over"))
        peer.close()

    run(scenario)
