"""Flush by site: ETRN and `postqueue -s` over the control socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupUnavailable
from pillarbox.lib.clients.qmgr import AsyncQmgrClient
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.delivery.result import DEFERRED
from pillarbox.lib.ipc import AsyncChannel
from pillarbox.qmgr.program import QueueManager
from tests.qmgr.stage import FakeAgent, Stage, defers, on_stage, sends


class Lists:
    """A lookup service that lists one domain."""

    def __init__(self) -> None:
        self.down = False

    async def listed(self, parameter: str, domain: str) -> bool:
        if self.down:
            raise LookupUnavailable("lookup service: gone")
        return parameter == "fast_flush_domains" and domain == "one.test"


def managing(stage: Stage, lists: Lists) -> QueueManager:
    manager = QueueManager(cast(Any, SimpleNamespace(config=stage.config)))
    manager._scheduler, manager._intake = stage.scheduler, stage.intake
    manager._lookup = cast(Any, lists)
    manager._wanted = asyncio.Event()
    return manager


async def serving(stage: Stage, lists: Lists) -> asyncio.Server:
    manager = managing(stage, lists)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket").dup()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        channel = AsyncChannel(sock)
        try:
            await manager.serve(channel)
        except Exception:
            channel.close()

    path = stage.config.socket_path("qmgr")
    return await asyncio.start_unix_server(serve, path)


@pytest.mark.parametrize(("domain", "count"), [("one.test", 2), ("two.test", None)])
def test_only_listed_sites_are_flushed(tmp_path: Path, domain: str, count: int | None) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(defers)
        for address in ("a@one.test", "b@one.test", "c@two.test"):
            stage.put(address)
        await stage.settle()
        async with await serving(stage, Lists()):
            assert await AsyncQmgrClient(stage.config).flush_site(domain) == count
        await stage.until(lambda: len(stage.services[0].requests) == 3 + (count or 0))

    on_stage(tmp_path, work)


def test_several_who_ask_for_a_site_at_once_share_one_look(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        manager = managing(stage, Lists())
        looks: list[str] = []

        async def look(queue_id: str, site: str) -> int:
            looks.append(site)
            await asyncio.sleep(0.01)  # the others ask meanwhile
            return 7

        stage.intake.flush = look  # type: ignore[method-assign]
        answers = await asyncio.gather(*(manager._flush("", "one.test") for _ in range(5)))
        assert answers == [{"ok": True, "count": 7}] * 5
        assert looks == ["one.test"]
        await manager._flush("", "one.test")
        assert len(looks) == 2, "what is asked later is looked for anew"

    on_stage(tmp_path, work)


def test_when_the_list_cannot_be_read_nothing_is_flushed(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        lists = Lists()
        lists.down = True
        async with await serving(stage, lists):
            with pytest.raises(ServiceUnavailable, match="lookup service: gone"):
                await AsyncQmgrClient(stage.config).flush_site("one.test")

    on_stage(tmp_path, work)


def test_without_a_queue_manager_the_service_is_unavailable(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        with pytest.raises(ServiceUnavailable, match="qmgr: connect to"):
            await AsyncQmgrClient(stage.config).flush_site("one.test")

    on_stage(tmp_path, work)


class TestWhatIsForgotten:
    """A client of SMTP may ask for one site (ETRN), a user for one message: what servers have asked for is not undone
    by that."""

    @pytest.mark.parametrize(("request_", "kept"), [({"site": "one.test"}, True), ({"id": "x"}, True), ({}, False)])
    def test_the_pace_of_destinations(self, tmp_path: Path, request_: dict[str, str], kept: bool) -> None:
        async def throttles(agent: FakeAgent, request: DeliveryRequest) -> None:
            await agent.all(request, DEFERRED, "4.7.28", "host x said: 421 4.7.28 rate limited, come back in 8 minutes")

        async def work(stage: Stage) -> None:
            agents = stage.agents(throttles)
            queue_id = stage.put("a@two.test")
            await stage.settle()
            assert stage.scheduler.policy.pace("there", "two.test") is not None
            asked = {name: queue_id if name == "id" else value for name, value in request_.items()}
            await managing(stage, Lists())._flush(asked.get("id", ""), asked.get("site", ""))
            assert (stage.scheduler.policy.pace("there", "two.test") is not None) is kept
            if not kept:
                agents.behave = sends
                await stage.settle()
                assert stage.where(queue_id) == "", "it goes out at once"

        on_stage(tmp_path, work)


def test_looks_for_sites_do_not_fill_the_time(tmp_path: Path) -> None:
    """Each reads the whole queue, and any client may ask for them."""

    async def work(stage: Stage) -> None:
        running, rests = 0, []

        async def flush(queue_id: str, site: str) -> int:
            nonlocal running
            running += 1
            assert running == 1, "one at a time"
            await asyncio.sleep(0.001)
            running -= 1
            return 0

        async def rest(seconds: float) -> None:
            rests.append(seconds)

        manager = managing(stage, Lists())
        manager._intake.flush = flush  # type: ignore[method-assign]
        manager._rest = cast(Any, rest)
        await asyncio.gather(*(manager._site_flushed(f"{number % 4}.one.test") for number in range(40)))
        assert len(rests) == 3 and min(rests) > 0
        await manager._site_flushed("one.test")
        assert len(rests) == 4, "also for who asks again and again"

    on_stage(tmp_path, work)
