"""Recipients in memory: never more than the configuration says, whatever a message or the queue holds."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.qmgr.room import SLICE
from tests.qmgr.stage import FakeAgent, Stage, bounces, on_stage, sends


def many(count: int, domain: str = "one.test", first: int = 0) -> list[str]:
    return [f"u{n}@{domain}" for n in range(first, first + count)]


def watched(stage: Stage) -> list[int]:
    """How many recipients were in memory, whenever some were read."""
    counts: list[int] = []
    room = stage.scheduler.room
    original = room.read

    def read(message: Any, count: int) -> None:
        original(message, count)
        counts.append(room.in_core)

    room.read = read  # type: ignore[method-assign]
    return counts


def test_all_messages_together_keep_within_the_limit(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents()
        counts = watched(stage)
        ids = [stage.put(*many(100, f"d{m}.test")) for m in range(20)]
        await stage.settle()
        assert not any(map(stage.where, ids))
        assert len(agents.addresses) == len(set(agents.addresses)) == 2000
        assert max(counts) <= 50 + 20 * 2
        assert stage.scheduler.room.in_core == 0
        assert not stage.scheduler.room.unread

    on_stage(tmp_path, work, qmgr_message_recipient_limit="50", qmgr_message_recipient_minimum="2")


def test_one_to_many_leaves_room_for_others(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        gate = asyncio.Event()

        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            if request.nexthop != "fast.test":
                await gate.wait()
            await sends(agent, request)

        agents = stage.agents(slow, capacity=100)
        big = stage.put(*(f"u@d{n}.test" for n in range(500)))
        await stage.until(lambda: agents.running >= 90)
        small = stage.put(*many(30, "fast.test"))
        await stage.until(lambda: not stage.where(small))
        assert stage.where(big) == "active"
        gate.set()
        await stage.settle()

    on_stage(tmp_path, work, qmgr_message_recipient_limit="100", qmgr_message_recipient_minimum="5")


def test_a_recipient_that_takes_long_does_not_keep_the_others_unread(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        gate = asyncio.Event()

        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            if request.nexthop == "slow.test":
                await gate.wait()
            await sends(agent, request)

        agents = stage.agents(slow)
        queue_id = stage.put("u@slow.test", *many(300))
        await stage.until(lambda: len(agents.addresses) == 301)
        assert stage.where(queue_id) == "active"
        gate.set()
        await stage.settle()
        assert stage.where(queue_id) == ""

    on_stage(tmp_path, work, qmgr_message_recipient_limit="40", default_recipient_refill_limit="10", processes=2)


def test_few_that_are_done_are_made_up_for_after_the_refill_delay(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        gate = asyncio.Event()

        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            if request.nexthop.startswith("slow"):
                await gate.wait()
            await sends(agent, request)

        agents = stage.agents(slow)
        stage.put(*(f"u@slow{n}.test" for n in range(9)), "u@fast.test", "v@fast.test")
        await stage.until(lambda: "u@fast.test" in agents.addresses)
        await asyncio.sleep(0.05)
        assert "v@fast.test" not in agents.addresses, "one place is no reason to read on at once"
        stage.clock.ahead = 6
        await stage.until(lambda: "v@fast.test" in agents.addresses)
        gate.set()
        await stage.settle()

    on_stage(tmp_path, work, qmgr_message_recipient_limit="10", processes=2)


def test_a_transport_has_room_of_its_own(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        gate = asyncio.Event()

        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            await gate.wait()
            await sends(agent, request)

        for n in range(3000):
            stage.lookup.routes[f"u{n}@slow.test"] = Route("other", "slow.test", f"u{n}@slow.test", "default")
        crawling = stage.agents(slow, name="other", capacity=1)
        fast = stage.agents()
        queue_id = stage.put(*many(3000, "slow.test"))
        await stage.until(lambda: crawling.running)
        await asyncio.sleep(0.05)
        pool = stage.scheduler.transport("other").recipients
        assert 20 <= pool.in_core <= 20 + 5 + SLICE
        assert stage.scheduler.room.in_core == pool.in_core
        quick = stage.put(*many(3000, "fast.test"))
        await stage.until(lambda: not stage.where(quick))
        assert len(fast.addresses) == 3000
        gate.set()
        await stage.settle()
        assert stage.where(queue_id) == "" and pool.in_core == 0

    on_stage(
        tmp_path,
        work,
        processes=1,
        qmgr_message_recipient_limit="1000",
        other_recipient_limit="20",
        other_extra_recipient_limit="5",
    )


def test_recipients_that_are_read_in_slices_still_go_together(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents(capacity=1)
        stage.put(*(f"u{n}@d{n % 100}.test" for n in range(4 * SLICE)))
        await stage.settle()
        assert len(agents.addresses) == 4 * SLICE
        assert len(agents.requests) < 4 * 100, "each slice made requests of its own"
        assert max(len(request.recipients) for request in agents.requests) <= 50

    on_stage(tmp_path, work, processes=1)


@pytest.mark.parametrize("limit", ["100", "20000"])
def test_the_file_is_read_on_not_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(capacity=100)
        queue_id = stage.put(*many(10_000))
        size = stage.path("incoming", queue_id).stat().st_size
        read = 0
        pread = os.pread

        def counting(descriptor: int, count: int, offset: int) -> bytes:
            nonlocal read
            data = pread(descriptor, count, offset)
            if data[:1] in b"TD":
                read += len(data)
            return data

        monkeypatch.setattr(os, "pread", counting)
        await stage.settle()
        assert size < read < 4 * size

    on_stage(tmp_path, work, qmgr_message_recipient_limit=limit)


def test_a_broken_record_far_inside_is_found_when_what_is_under_way_is_done(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        gate = asyncio.Event()

        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            if request.recipients[0].address == "u0@one.test":
                await gate.wait()
            await sends(agent, request)

        agents = stage.agents(slow)
        queue_id = stage.put(*many(100))
        path = stage.path("incoming", queue_id)
        path.write_bytes(path.read_bytes().replace(b'T{"address":"u90@', b'T{"addr":"bbbu90@'))
        await stage.until(lambda: len(agents.addresses) >= 40)
        assert stage.where(queue_id) == "active", "an agent is still at work on it"
        gate.set()
        await stage.settle()
        assert stage.where(queue_id) == "corrupt"
        assert stage.scheduler.room.in_core == 0

    on_stage(
        tmp_path,
        work,
        qmgr_message_recipient_limit="40",
        default_recipient_refill_limit="5",
        default_destination_recipient_limit="5",
    )


def test_marks_of_one_answer_are_made_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(stage: Stage) -> None:
        async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
            await (bounces if request.nexthop == "bad.test" else sends)(agent, request)

        stage.agents(behave)
        opened: list[str] = []
        original = os.open

        def counting(path: Any, flags: int, *more: Any, **options: Any) -> int:
            if "/active/" in str(path) and flags & os.O_WRONLY:
                opened.append(str(path))
            return original(path, flags, *more, **options)

        monkeypatch.setattr(os, "open", counting)
        stage.put(*many(50, "good.test"), "a@bad.test")
        await stage.settle()
        assert len(opened) <= 2

    on_stage(tmp_path, work)
