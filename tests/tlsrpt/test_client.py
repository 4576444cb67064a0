"""The client: counts, never waits, never fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib.clients import tlsrpt as client_module
from pillarbox.lib.clients.tlsrpt import POLICY_LIMIT, AsyncTlsReportClient, TlsOutcome
from pillarbox.lib.config import Config
from pillarbox.lib.ipc import AsyncChannel, Attributes

GOOD = TlsOutcome("far.test", "sts", ("version: STSv1",), ("mx.far.test",))


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    (tmp_path / "private").mkdir()
    yield Config.for_tests(queue_directory=str(tmp_path))


async def collect(config: Config, outcomes: list[TlsOutcome]) -> tuple[list[Attributes], AsyncTlsReportClient]:
    """What a service gets when a client records these."""
    frames: list[Attributes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(config.socket_path("tlsrpt"))
        listener.listen()
        listener.setblocking(False)
        client = AsyncTlsReportClient(config, pause=0.01)
        for outcome in outcomes:
            client.record(outcome)
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        channel = AsyncChannel(connection)
        try:
            while sum(len(frame.groups("outcomes")) for frame in frames) < len(set(outcomes)):
                frames.append(await channel.receive(5))
        finally:
            client.close()
            channel.close()
    return frames, client


def test_equal_outcomes_go_as_one(config: Config) -> None:
    bad = TlsOutcome("far.test", "sts", failure="certificate-expired")
    (frame,), client = asyncio.run(collect(config, [GOOD, bad, GOOD]))
    assert [TlsOutcome.parse(group) for group in frame.groups("outcomes")] == [(GOOD, 2), (bad, 1)]
    assert client.dropped == 0


def test_many_go_in_frames_that_fit(config: Config) -> None:
    large = ("\u00e4" * 1000,) * 100
    outcomes = [
        TlsOutcome(f"d{n}.test", "sts", large, large, "tlsa-invalid", details="\u00e4" * 999) for n in range(40)
    ]
    frames, client = asyncio.run(collect(config, outcomes))
    assert client.dropped == 0
    for frame in frames:
        for group in frame.groups("outcomes"):
            outcome, _ = TlsOutcome.parse(group)
            assert 0 < sum(map(len, outcome.policy_string)) <= POLICY_LIMIT


def test_without_the_service_outcomes_are_dropped_and_nobody_waits(config: Config) -> None:
    async def main() -> None:
        client = AsyncTlsReportClient(config, pause=0.0)
        client.record(GOOD)
        await asyncio.sleep(0.05)
        assert client.dropped == 1
        client.close()

    asyncio.run(main())


def test_what_waits_is_bounded(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WAITING_LIMIT", 2)

    async def main() -> None:
        client = AsyncTlsReportClient(config, pause=60)
        for number in range(5):
            client.record(TlsOutcome(f"d{number}.test", "tlsa"))
        client.record(TlsOutcome("d0.test", "tlsa"))
        assert client.dropped == 3
        client.close()

    asyncio.run(main())
