"""The two clients of cleanup against the real program, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.cleanup.program import PROGRAM
from pillarbox.lib.clients.cleanup import AsyncCleanupClient, CleanupClient, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import Channel
from pillarbox.lib.queue import Envelope, Queue, Recipient
from tests.process.worker import Running, running

CONTENT = b"Subject: s\n\nbody\n"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    Queue(str(tmp_path / "spool")).create()
    return tmp_path / "spool"


@pytest.fixture
def config(spool: Path) -> Config:
    return Config.for_tests(
        queue_directory=str(spool), message_size_limit="100000", myhostname="mx.test", drain_timeout="1s"
    )


@pytest.fixture
def cleanup(config: Config, spool: Path) -> Iterator[Running]:
    with running(PROGRAM, config, spool / "private" / "cleanup") as process:
        yield process


def envelope(recipients: int = 1) -> Envelope:
    return Envelope(
        "a@x.test", tuple(Recipient(f"{n}@y.test") for n in range(recipients)), 1795319643.0, origin="smtpd"
    )


def names(spool: Path) -> set[str]:
    return {name for name in os.listdir(spool / "incoming") if not name.startswith(".")}


class TestBlocking:
    def test_a_message_is_stored(self, cleanup: Running, config: Config, spool: Path) -> None:
        client = CleanupClient(config)
        ids = set()
        for size in (0, 10, 70_000, 90_000):
            with client.open() as message:
                message.begin(envelope())
                message.write(CONTENT)
                for _ in range(size // 1000):
                    message.write(b"x" * 1000)
                receipt = message.commit()
            assert receipt.queue_id == message.queue_id
            assert receipt.size == len(CONTENT) + size // 1000 * 1000
            ids.add(receipt.queue_id)
        assert names(spool) == ids
        assert cleanup.sessions == 1, "each message has made a connection"

    def test_an_abort_before_anything_was_sent_costs_no_connection(self, cleanup: Running, config: Config) -> None:
        client = CleanupClient(config)
        for _ in range(3):
            with client.open() as message:
                message.begin(envelope())
                message.write(CONTENT)
        assert cleanup.sessions == 1

    def test_an_abort_in_the_content_leaves_nothing(self, cleanup: Running, config: Config, spool: Path) -> None:
        client = CleanupClient(config)
        with client.open() as message:
            message.begin(envelope())
            message.write(b"A: b\n\n" + b"x" * 80_000)
        with client.open() as message:
            message.begin(envelope())
            message.commit()
        assert names(spool) == {message.queue_id}

    def test_a_refusal(self, cleanup: Running, config: Config, spool: Path) -> None:
        client = CleanupClient(config)
        with client.open() as message, pytest.raises(Rejected) as caught:
            message.begin(envelope())
            message.write(b"A: b\n\n" + b"x" * 200_000)
            message.commit()
        assert (caught.value.code, caught.value.enhanced) == (552, "5.3.4")
        with client.open() as message:
            message.begin(envelope())
            message.commit()
        assert names(spool) == {message.queue_id}

    def test_an_envelope_too_large_for_a_frame_is_refused(self, cleanup: Running, config: Config) -> None:
        client = CleanupClient(config)
        huge = Envelope("a@x.test", (Recipient("b@y.test", orcpt="x" * 300_000),), 1.0)
        with client.open() as message, pytest.raises(Rejected):
            message.begin(huge)
            message.write(CONTENT * 10_000)
            message.commit()
        with client.open() as message:
            message.begin(envelope(500))
            message.commit()

    def test_cleanup_restarted_in_between_is_not_noticed(self, config: Config, spool: Path) -> None:
        client = CleanupClient(config)
        for _ in range(2):
            with running(PROGRAM, config, spool / "private" / "cleanup"), client.open() as message:
                message.begin(envelope())
                message.commit()

    def test_no_cleanup_is_unavailable(self, config: Config) -> None:
        with pytest.raises(ServiceUnavailable, match="cleanup: connect to"):
            CleanupClient(config).open()


class TestAsync:
    def test_a_message_is_stored(self, cleanup: Running, config: Config, spool: Path) -> None:
        async def scenario() -> set[str]:
            client = AsyncCleanupClient(config)

            async def one(size: int) -> str:
                message = await client.open()
                message.begin(envelope())
                await message.write(CONTENT)
                for _ in range(size // 1000):
                    await message.write(b"x" * 1000)
                return (await message.commit()).queue_id

            ids = set(await asyncio.gather(*(one(n * 1000) for n in range(40))))
            assert client.open_now() is not None
            client.close()
            return ids

        ids = asyncio.run(scenario())
        assert len(ids) == 40 and names(spool) == ids

    def test_octets_that_come_one_by_one_are_not_gathered_without_end(
        self, cleanup: Running, config: Config, spool: Path
    ) -> None:
        """Each waits as an object of its own: 64 KB of content would be megabytes."""

        async def scenario() -> str:
            client = AsyncCleanupClient(config)
            message = await client.open()
            message.begin(envelope())
            waiting, sizes = 0, []
            for octet in CONTENT + b"x" * 5000 + b"\n":
                waiting += 1
                if message.gather(bytes((octet,))):
                    sizes.append(waiting)
                    waiting = 0
                    await message.flush()
            assert len(sizes) >= 4 and max(sizes) <= 64 * 1024 // 64
            receipt = await message.commit()
            assert receipt.size == len(CONTENT) + 5001
            client.close()
            return receipt.queue_id

        name = asyncio.run(scenario())
        assert (spool / "incoming" / name).read_bytes().endswith(CONTENT + b"x" * 5000 + b"\n")

    def test_a_stale_connection_is_not_used(self, config: Config, spool: Path) -> None:
        async def scenario() -> None:
            client = AsyncCleanupClient(config)
            for _ in range(2):
                with running(PROGRAM, config, spool / "private" / "cleanup"):
                    message = await client.open()
                    message.begin(envelope())
                    await message.commit()

        asyncio.run(scenario())

    def test_no_cleanup_is_unavailable(self, config: Config) -> None:
        with pytest.raises(ServiceUnavailable, match="cleanup: connect to"):
            asyncio.run(AsyncCleanupClient(config).open())


def misbehaving(spool: Path, behave: Callable[[Channel], None]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(spool / "private" / "cleanup"))
    listener.listen(5)
    listener.settimeout(10)

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            channel = Channel(connection)
            connection.settimeout(10)
            try:
                behave(channel)
            finally:
                channel.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def greets_and_dies(channel: Channel) -> None:
    channel.send({"prepared": 4711})
    channel.receive()


def greets_and_babbles(channel: Channel) -> None:
    channel.send({"prepared": 4711})
    channel.receive()
    channel.send({"ok": "maybe", "prepared": 4712})


def says_nothing_of_the_size(channel: Channel) -> None:
    channel.send({"prepared": 4711})
    channel.receive()
    channel.send({"ok": True, "prepared": "x"})


@pytest.mark.parametrize("behave", [greets_and_dies, greets_and_babbles, says_nothing_of_the_size])
class TestMisbehaviour:
    """No answer that can be understood means: not accepted."""

    def test_blocking(self, config: Config, spool: Path, behave: Callable[[Channel], None]) -> None:
        thread = misbehaving(spool, behave)
        client = CleanupClient(config)
        with client.open() as message, pytest.raises(ServiceUnavailable, match="cleanup: "):
            message.begin(envelope())
            message.commit()
        thread.join()

    def test_async(self, config: Config, spool: Path, behave: Callable[[Channel], None]) -> None:
        async def scenario() -> None:
            client = AsyncCleanupClient(config)
            message = await client.open()
            message.begin(envelope())
            with pytest.raises(ServiceUnavailable, match="cleanup: "):
                await message.commit()
            message.abort()
            assert client.open_now() is None

        thread = misbehaving(spool, behave)
        asyncio.run(scenario())
        thread.join()


def test_without_a_prepared_file_the_connection_is_given_up(config: Config, spool: Path) -> None:
    ended = threading.Event()

    def has_no_file(channel: Channel) -> None:
        channel.send({"prepared": 0, "why": "no queue file could be made: No space left on device"})
        if not channel.socket.recv(1):
            ended.set()

    async def scenario() -> None:
        with pytest.raises(ServiceUnavailable, match="No space left on device"):
            await AsyncCleanupClient(config).open()
        thread.join()

    thread = misbehaving(spool, has_no_file)
    asyncio.run(scenario())
    assert ended.is_set(), "a descriptor leaks at each attempt while the disk is full"
