"""Frames that wait for their peer, and the descriptors that go with them."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from pillarbox.lib.ipc import AsyncChannel, Channel, ChannelClosed, Outbox, encode_frame


def _open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_was_given_goes_out_though_its_giver_has_closed_it(tmp_path: Path) -> None:
    """The peer does not read; the giver gives up, and its number becomes another file's."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "others").write_text("others")

    async def run() -> bytes:
        ours, theirs = socket.socketpair()
        outbox = Outbox(AsyncChannel(ours), lambda error: None)
        fill = encode_frame({"x": "x" * 100_000})
        for _ in range(20):
            outbox.put(fill)
        await asyncio.sleep(0)
        fd = os.open(tmp_path / "mine", os.O_RDONLY)
        outbox.put(encode_frame({"fds": 1}), [fd])
        os.close(fd)
        other = os.open(tmp_path / "others", os.O_RDONLY)
        assert other == fd, "the number is taken again"
        reader = Channel(theirs)
        received = await asyncio.to_thread(lambda: [reader.receive(10) for _ in range(21)][-1].fds)
        await outbox.flushed()
        try:
            return os.pread(received[0], 10, 0)
        finally:
            for each in (other, *received):
                os.close(each)
            ours.close()
            theirs.close()

    before = _open_fds()
    assert asyncio.run(run()) == b"mine"
    assert _open_fds() == before


def test_nothing_is_kept_for_a_peer_that_is_gone() -> None:
    async def run() -> list[ChannelClosed]:
        ours, theirs = socket.socketpair()
        failures: list[ChannelClosed] = []
        channel = AsyncChannel(ours)
        outbox = Outbox(channel, failures.append)
        for _ in range(20):
            outbox.put(encode_frame({"x": "x" * 100_000, "fds": 1}), [theirs.fileno()])
        await asyncio.sleep(0)
        outbox.put(encode_frame({"fds": 1}), [theirs.fileno()])
        channel.close()
        await outbox.flushed()
        theirs.close()
        return failures

    before = _open_fds()
    assert len(asyncio.run(run())) == 1
    assert _open_fds() == before
