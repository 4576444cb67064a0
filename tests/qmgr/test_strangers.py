"""Destinations that do not answer keep nobody waiting but themselves."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.qmgr import occupancy
from tests.qmgr.stage import FakeAgent, Stage, on_stage, sends

pytestmark = pytest.mark.usefixtures("opens_files")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "STRANGER_TIME", 0.01)
    monkeypatch.setattr(occupancy, "KNOWN_TIME", 0.05)


async def some_are_dead(agent: FakeAgent, request: DeliveryRequest) -> None:
    """`dead*` never answers."""
    if request.nexthop.startswith("dead"):
        await asyncio.Event().wait()
    await sends(agent, request)


def test_the_dead_do_not_hold_up_the_others(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents(some_are_dead, capacity=3, waiting=300)
        dead = [stage.put(f"a@dead{number}.test") for number in range(100)]
        good = [stage.put(f"a@good{number}.test") for number in range(100)]
        await stage.until(lambda: not any(map(stage.where, good)))
        assert {stage.where(one) for one in dead} == {"active"}
        assert agents.most <= 100 + 2 * 2 * 3
        stage.scheduler.close()

    on_stage(tmp_path, work)


def test_where_the_waiting_room_is_full_known_destinations_go_on(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(some_are_dead, capacity=3, waiting=10)
        first = stage.put("a@good.test")
        await stage.until(lambda: not stage.where(first))
        dead = [stage.put(f"a@dead{number}.test") for number in range(50)]
        await stage.until(lambda: len(stage.scheduler.active.messages) == 50)
        await asyncio.sleep(0.2)
        stranger = stage.put("a@never.seen.test")
        known = [stage.put("a@good.test") for _ in range(20)]
        await stage.until(lambda: not any(map(stage.where, known)))
        assert stage.where(stranger) == "active"
        assert {stage.where(one) for one in dead} == {"active"}
        stage.scheduler.close()

    on_stage(tmp_path, work, processes=1)


def test_a_known_destination_that_has_died_gives_its_places_back(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        alive = True

        async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
            if request.nexthop == "fickle.test" and not alive:
                await asyncio.Event().wait()
            await sends(agent, request)

        stage.agents(behave, capacity=2, waiting=100)
        both = [stage.put("a@fickle.test"), stage.put("a@good.test")]
        await stage.until(lambda: not any(map(stage.where, both)))
        alive = False
        for _ in range(5):
            stage.put("a@fickle.test")
        await stage.until(lambda: len(stage.scheduler.active.messages) == 5)
        good = stage.put("a@good.test")
        await stage.until(lambda: not stage.where(good))
        stage.scheduler.close()

    on_stage(tmp_path, work, processes=1)


def test_mail_to_the_dead_does_not_fill_the_active_queue(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents(some_are_dead, capacity=8, waiting=100)
        dead = [stage.put("a@dead.test") for _ in range(10)]
        await stage.until(lambda: len(agents.requests) == 5)
        dead += [stage.put("a@dead.test") for _ in range(50)]
        good = [stage.put("a@good.test") for _ in range(50)]
        await stage.until(lambda: not any(map(stage.where, good)))
        assert {stage.where(one) for one in dead} == {"active", "deferred"}
        assert stage.logged("delivery temporarily suspended: the deliveries before this one are waiting for an answer")
        stage.scheduler.close()

    on_stage(tmp_path, work, qmgr_message_active_limit="40")


def test_old_mail_leaves_room_for_new(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(some_are_dead, capacity=3, waiting=100)
        due = stage.clock() - 1
        old = [stage.put(f"a@dead{number}.test", queue="deferred") for number in range(50)]
        for one in old:
            os.utime(stage.path("deferred", one), (due, due))
        stage.start()
        await stage.until(lambda: not stage.scheduler.old_may_come)
        await asyncio.sleep(0.05)
        stage.pump()
        assert len(stage.scheduler.active.messages) == 15
        new = [stage.put("a@good.test") for _ in range(50)]
        await stage.until(lambda: not any(map(stage.where, new)))
        stage.scheduler.close()

    on_stage(tmp_path, work, qmgr_message_active_limit="20")


def test_a_pool_is_full_when_no_agent_takes_more(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(some_are_dead, capacity=2)
        pool = stage.scheduler.transport("there").pool
        assert pool is not None
        stage.put("a@dead1.test")
        await stage.until(lambda: pool.busy == 1)
        assert not pool.full
        stage.put("a@dead2.test")
        await stage.until(lambda: pool.busy == 2)
        assert pool.full
        stage.scheduler.close()

    on_stage(tmp_path, work, processes=1)
