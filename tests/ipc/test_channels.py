"""Channels over real sockets: both kinds, descriptors, partial sends, and peers that are gone."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.lib.ipc import AsyncChannel, Channel, ChannelClosed, ContentAborted, ProtocolError, encode_frame
from pillarbox.lib.ipc.blocking import UNCLAIMED_LIMIT
from pillarbox.lib.process.loop import new_event_loop

LARGE = {"text": "x" * 200_000}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def same_file(one: int, other: int) -> bool:
    return os.fstat(one).st_ino == os.fstat(other).st_ino


def descriptors() -> int:
    gc.collect()  # those that an earlier test has left in a circle are not to be cleared away between two counts
    return len(os.listdir("/proc/self/fd"))


class TestBlocking:
    def test_a_request_and_its_reply(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = Channel(pair[0]), Channel(pair[1])

        def serve() -> None:
            assert theirs.receive() == {"do": "x"}
            theirs.send({"ok": True})

        thread = threading.Thread(target=serve)
        thread.start()
        assert ours.call({"do": "x"}).boolean("ok")
        thread.join()

    def test_a_frame_larger_than_the_socket_takes_with_a_descriptor(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        ours, theirs = Channel(pair[0]), Channel(pair[1])
        with open(os.devnull, "rb") as stream:
            thread = threading.Thread(target=ours.send, args=({**LARGE}, [stream.fileno()]))
            thread.start()
            frame = theirs.receive()
            thread.join()
            assert frame.text("text") == LARGE["text"]
            assert same_file(frame.fds[0], stream.fileno())
            assert not os.get_inheritable(frame.fds[0])
        os.close(frame.fds[0])

    def test_content_behind_a_frame(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = Channel(pair[0]), Channel(pair[1])
        ours.send({"do": "take"})
        ours.send_chunk(b"hello ")
        ours.send_chunk(b"world")
        ours.end_chunks()
        assert theirs.receive().text("do") == "take"
        assert [theirs.read_chunk() for _ in range(3)] == [b"hello ", b"world", b""]
        ours.abort_chunks()
        with pytest.raises(ContentAborted):
            theirs.read_chunk()

    def test_descriptors_go_to_the_frames_that_name_them(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = Channel(pair[0]), Channel(pair[1])
        with open("/dev/null", "rb") as null, open("/dev/zero", "rb") as zero:
            ours.send({"a": 1}, [null.fileno()])
            ours.send({"b": 1})
            ours.send({"c": 1}, [zero.fileno(), null.fileno()])
            frames = [theirs.receive() for _ in range(3)]
            assert [len(frame.fds) for frame in frames] == [1, 0, 2]
            assert same_file(frames[2].fds[0], zero.fileno())
        for frame in frames:
            for descriptor in frame.fds:
                os.close(descriptor)

    @pytest.mark.parametrize("named", [2, -1, 99, "x", None])
    def test_a_wrong_number_of_descriptors(self, pair: tuple[socket.socket, socket.socket], named: object) -> None:
        before = descriptors()
        theirs = Channel(pair[1])
        socket.send_fds(pair[0], [encode_frame({"fds": named})], [0])
        with pytest.raises(ProtocolError):
            theirs.receive()
        theirs.close()
        assert descriptors() == before - 1

    def test_unnamed_descriptors_are_closed_with_the_channel(self, pair: tuple[socket.socket, socket.socket]) -> None:
        before = descriptors()
        theirs = Channel(pair[1])
        socket.send_fds(pair[0], [encode_frame({})], [0, 1, 2])
        assert theirs.receive().fds == []
        assert descriptors() == before + 3
        theirs.close()
        assert descriptors() == before - 1

    def test_unnamed_descriptors_have_a_limit(self, pair: tuple[socket.socket, socket.socket]) -> None:
        theirs = Channel(pair[1])

        def flood() -> None:
            for _ in range(UNCLAIMED_LIMIT // 16 + 1):
                socket.send_fds(pair[0], [encode_frame({})], [0] * 16)

        flood()
        with pytest.raises(ChannelClosed, match="does not name"):
            while True:
                theirs.receive()
        theirs.close()

    def test_descriptors_are_not_taken_where_none_are_wanted(self, pair: tuple[socket.socket, socket.socket]) -> None:
        before = descriptors()
        theirs = Channel(pair[1])
        theirs.takes_descriptors = False
        Channel(pair[0]).send({"a": 1}, [0, 1, 2])
        assert theirs.receive().fds == []
        assert descriptors() == before

    def test_a_peer_that_is_gone(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours = Channel(pair[0])
        pair[1].close()
        with pytest.raises(ChannelClosed, match="send: Broken pipe"):
            ours.send({"a": 1})
        with pytest.raises(ChannelClosed, match="the peer closed the connection"):
            ours.receive()

    def test_a_peer_that_goes_in_the_middle_of_a_frame(self, pair: tuple[socket.socket, socket.socket]) -> None:
        pair[1].send(encode_frame({"a": 1})[:-1])
        pair[1].close()
        with pytest.raises(ChannelClosed):
            Channel(pair[0]).receive()

    def test_a_peer_that_says_nothing(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with pytest.raises(ChannelClosed, match="timed out"):
            Channel(pair[0]).receive(0.01)

    def test_nobody_to_connect_to(self, tmp_path: Path) -> None:
        before = descriptors()
        with pytest.raises(ChannelClosed, match=r"connect to .*: No such file or directory"):
            Channel.connect(str(tmp_path / "x"))
        with pytest.raises(ChannelClosed, match="too long"):
            Channel.connect("/" + "x" * 200)
        assert descriptors() == before

    def test_the_kernel_says_who_the_peer_is(self, pair: tuple[socket.socket, socket.socket]) -> None:
        assert Channel(pair[0]).peer_uid == os.getuid()


class TestAsync:
    def run(self, scenario: object) -> None:
        asyncio.run(asyncio.wait_for(scenario, 20))  # type: ignore[arg-type]

    def test_both_ways_at_once_with_more_than_the_sockets_take(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            frames = [{**LARGE, "n": n} for n in range(10)]

            async def send(channel: AsyncChannel) -> None:
                for frame in frames:
                    await channel.send(frame)

            async def receive(channel: AsyncChannel) -> list[int]:
                return [(await channel.receive()).integer("n") for _ in frames]

            _, _, one, other = await asyncio.gather(send(ours), send(theirs), receive(ours), receive(theirs))
            assert one == other == list(range(10))
            ours.close()
            theirs.close()

        self.run(scenario())

    def test_a_descriptor_and_content(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            with open("/dev/zero", "rb") as zero:
                await ours.send({"a": 1}, [zero.fileno()], b"\0\0\0\1x\0\0\0\0")
                frame = await theirs.receive()
                assert same_file(frame.fds[0], zero.fileno())
            os.close(frame.fds[0])
            assert [await theirs.read_chunk(), await theirs.read_chunk()] == [b"x", b""]
            ours.close()
            theirs.close()

        self.run(scenario())

    def test_a_sender_waits_for_a_reader_that_does_not_read(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            with pytest.raises(ChannelClosed, match="no answer within"):
                await theirs.receive(0.01)  # from now on the loop reads ahead
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await ours.send(LARGE)
                    sent += 1

            task = asyncio.create_task(flood())
            await asyncio.sleep(0.2)
            assert sent < 15, "the reader fills its memory"
            for _ in range(20):
                assert (await theirs.receive()).text("text") == LARGE["text"]
            task.cancel()
            ours.close()
            theirs.close()

        self.run(scenario())

    def test_closing_wakes_those_who_wait(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            waiting = asyncio.create_task(ours.receive())
            sending = asyncio.create_task(ours.send_raw(b"x" * 10_000_000))
            await asyncio.sleep(0.01)
            ours.close()
            ours.close()
            for task in (waiting, sending):
                with pytest.raises(ChannelClosed):
                    await task
            with pytest.raises(ChannelClosed):
                await ours.receive()
            with pytest.raises(ChannelClosed):
                await ours.send({})
            theirs.close()

        self.run(scenario())

    def test_a_peer_that_goes_is_noticed_after_what_it_has_sent(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            waiting = asyncio.create_task(ours.receive())
            await asyncio.sleep(0)
            await theirs.send({"a": 1})
            await theirs.send({"b": 1})
            theirs.close()
            assert await waiting == {"a": 1}
            await asyncio.sleep(0.01)
            assert await ours.receive() == {"b": 1}
            with pytest.raises(ChannelClosed, match="the peer closed the connection"):
                await ours.receive()
            ours.close()

        self.run(scenario())

    def test_alive(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            assert ours.alive
            await theirs.send({"unasked": 1})
            assert not ours.alive
            await ours.receive()
            assert ours.alive
            with pytest.raises(ChannelClosed):
                await ours.receive(0.01)
            theirs.close()
            assert not ours.alive, "its end is seen only when the loop comes round"
            ours.close()
            assert not ours.alive

        self.run(scenario())

    def test_draining_ends_an_idle_connection_and_not_one_in_a_request(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            waiting = asyncio.create_task(ours.receive())
            await asyncio.sleep(0)
            await theirs.send({"a": 1})
            ours.drain()
            assert await waiting == {"a": 1}
            with pytest.raises(ChannelClosed, match="the service is stopping"):
                await ours.receive()
            ours.close()
            theirs.close()

        self.run(scenario())

    def test_the_socket_can_be_given_away_once_nothing_is_left_in_the_channel(self) -> None:
        async def scenario() -> None:
            ours, theirs = (AsyncChannel(end) for end in socket.socketpair())
            await theirs.send({"a": 1})
            await ours.receive()
            sock = ours.detach()
            await theirs.send_raw(b"raw")
            assert await asyncio.get_running_loop().sock_recv(sock, 10) == b"raw"
            sock.close()
            theirs.close()

        self.run(scenario())

    def test_unnamed_descriptors_have_a_limit(self) -> None:
        async def scenario() -> None:
            left, right = socket.socketpair()
            theirs = AsyncChannel(right)
            before = descriptors()
            for _ in range(UNCLAIMED_LIMIT // 16 + 1):
                socket.send_fds(left, [encode_frame({})], [0] * 16)
            with pytest.raises(ChannelClosed, match="does not name"):
                while True:
                    await theirs.receive()
            theirs.close()
            assert descriptors() == before - 1
            left.close()

        self.run(scenario())

    def test_connecting(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            with pytest.raises(ChannelClosed, match="No such file or directory"):
                await AsyncChannel.connect(str(tmp_path / "x"))
            with socket.socket(socket.AF_UNIX) as full:
                full.bind(str(tmp_path / "full"))
                full.listen(0)
                held = [await AsyncChannel.connect(str(tmp_path / "full"), 0.05)]
                with pytest.raises(ChannelClosed, match="timed out"):
                    while len(held) < 10:
                        held.append(await AsyncChannel.connect(str(tmp_path / "full"), 0.05))
                late = asyncio.create_task(AsyncChannel.connect(str(tmp_path / "full"), 10))
                await asyncio.sleep(0.01)
                full.accept()[0].close()
                (await late).close()
                for channel in held:
                    channel.close()

        self.run(scenario())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, new_event_loop], ids=["asyncio", "ours"])
@pytest.mark.parametrize("with_descriptors", [False, True], ids=["plain", "descriptors"])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_all_that_a_peer_had_said_is_read_although_it_died_with_something_unread(
    new_loop: Callable[[], asyncio.AbstractEventLoop], with_descriptors: bool, count: int
) -> None:
    """Its end leaves an error on the connection, of which libuv tells once, however much there is to read."""

    async def work() -> list[int]:
        left, right = socket.socketpair()
        ours, theirs = AsyncChannel(left), Channel(right)
        found: list[int] = []

        async def read() -> None:
            while True:
                frame = await ours.receive()
                found.append(frame.integer("n"))
                for descriptor in frame.fds:
                    os.close(descriptor)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)  # it waits
        await ours.send({"answer": "that nobody reads"})
        with open(os.devnull, "rb") as stream:
            for n in range(count):
                theirs.send({"n": n, "text": "x" * 2000}, [stream.fileno()] if with_descriptors else [])
        theirs.close()
        with pytest.raises(ChannelClosed):
            await asyncio.wait_for(reading, 10)
        ours.close()
        return found

    loop = new_loop()
    try:
        assert loop.run_until_complete(work()) == list(range(count))
    finally:
        loop.close()
