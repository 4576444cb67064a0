"""Two mishaps that meet: helpers away at the wrong moment, agents that die, memory that is to stay small."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.delivery.result import DEFERRED, Result
from pillarbox.lib.queue import Recipient
from pillarbox.qmgr import waits
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.nexthops import REMEMBERED
from pillarbox.qmgr.occupancy import Occupancy
from tests.qmgr.stage import FakeAgent, Stage, bounces, defers, on_stage, sends, unreachable
from tests.qmgr.test_fairness import Scene

GREY = "450 4.7.1 Greylisted, try again in 300 seconds"


class TestBounceAway:
    def test_what_was_delivered_in_a_later_pass_is_not_delivered_again(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents(defers)
            queue_id = stage.put("a@one.test", "b@one.test")
            await stage.settle()
            agents.behave = sends
            stage.bounce.down = True
            stage.clock.ahead += 1000
            await stage.settle()
            assert stage.where(queue_id) == "deferred", "bounce could not say whether there are reports"
            assert all(one.done for one in stage.recipients("deferred", queue_id))
            stage.bounce.down = False
            stage.clock.ahead += 5000
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert len(agents.addresses) == 4, "two that were deferred, two that were delivered, nothing twice"

        on_stage(tmp_path, work)

    def test_what_was_delivered_is_not_delivered_again_for_the_sake_of_a_report(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            stage.bounce.down = True
            queue_id = stage.put(Recipient("a@one.test", notify=("success",)), "b@one.test")
            await stage.settle()
            stage.bounce.down = False
            stage.clock.ahead += 5000
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert sorted(agents.addresses) == ["a@one.test", "b@one.test"]
            assert stage.logged("no report on the delivery to <a@one.test>")

        on_stage(tmp_path, work)

    def test_who_could_not_be_reported_is_tried_at_his_own_time(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            async def mixed(agent: FakeAgent, request: DeliveryRequest) -> None:
                if request.nexthop == "one.test":
                    stage.bounce.down = True
                    await bounces(agent, request)
                else:
                    await defers(agent, request)

            agents = stage.agents(mixed)
            stage.put("a@one.test", "b@two.test")
            await stage.settle()
            stage.bounce.down = False
            agents.requests.clear()
            stage.clock.ahead += 310
            await stage.settle()
            assert agents.addresses == ["a@one.test"]

        on_stage(tmp_path, work, retry="{one.test: 5m, two.test: 4h}")

    def test_who_is_reported_but_cannot_be_marked_is_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`bounce` tells the sender only of those that are marked: nobody is to be forgotten between the two."""

        def full(self: ActiveMessage, recipients: list[int]) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        async def work(stage: Stage) -> None:
            stage.agents(bounces)
            monkeypatch.setattr(ActiveMessage, "mark", full)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            monkeypatch.undo()
            stage.clock.ahead += 1000
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert stage.bounce.flushed == [queue_id, queue_id]

        on_stage(tmp_path, work)


class TestAgentsDie:
    def test_what_is_repeated_is_given_up_with_its_transport(self) -> None:
        """The next hop was forgotten between the crash and the repetition, and known anew."""
        scene = Scene(1)
        scene.put("m", "one.test")
        scene.run()
        scene.transport._lost(scene.pool.under_way.pop(), "crashed")
        for number in range(REMEMBERED + 10):
            scene.transport.nexthop(f"d{number}.test")
        assert ("one.test", "") not in scene.transport.nexthops.known
        scene.clock.time += 10
        scene.timers.run_due()
        scene.transport._unavailable("connection refused")
        assert scene.outcomes.suspended == ["ma@one.test", "mb@one.test"]


class TestMemory:
    def test_the_times_of_a_message_to_very_many_have_a_ceiling(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waits, "RECIPIENTS_LIMIT", 10)

        async def greylists(agent: FakeAgent, request: DeliveryRequest) -> None:
            await agent.answer(
                request,
                [Result(one.n, DEFERRED, "4.7.1", f"host x said: {GREY}", diagnostic=f"smtp; {GREY}")
                 for one in request.recipients],
            )  # fmt: skip

        async def work(stage: Stage) -> None:
            agents = stage.agents(greylists)
            queue_id = stage.put(*(f"u{number}@one.test" for number in range(30)))
            await stage.settle()
            assert len(stage.scheduler.policy.waits) == 10
            stage.clock.ahead += 400
            agents.behave = sends
            await stage.settle()
            assert stage.where(queue_id) == "", "all are tried nevertheless"

        on_stage(tmp_path, work)

    def test_what_leaves_the_queue_by_hand_leaves_no_times(self, tmp_path: Path) -> None:
        async def greylists(agent: FakeAgent, request: DeliveryRequest) -> None:
            await agent.all(request, DEFERRED, "4.7.1", f"host x said: {GREY} (in reply to RCPT TO command)")

        async def work(stage: Stage) -> None:
            stage.agents(greylists)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert len(stage.scheduler.policy.waits) == 1
            stage.path("deferred", queue_id).unlink()
            stage.intake.changed((queue_id,))
            assert len(stage.scheduler.policy.waits) == 0

        on_stage(tmp_path, work)

    def test_times_are_counted_as_long_as_anybody_has_them(self, tmp_path: Path) -> None:
        async def mixed(agent: FakeAgent, request: DeliveryRequest) -> None:
            if request.nexthop == "one.test":
                await agent.all(request, DEFERRED, "4.7.1", f"host x said: {GREY} (in reply to RCPT TO command)")
            else:
                await defers(agent, request)

        async def work(stage: Stage) -> None:
            agents = stage.agents(mixed)
            stage.put("a@one.test", "b@one.test", "c@two.test")
            for _ in range(5):
                await stage.settle()
                assert len(stage.scheduler.policy.waits) == 2
                stage.clock.ahead += 400
            agents.behave = sends
            stage.clock.ahead += 1e5
            await stage.settle()
            assert not stage.scheduler.active.messages
            assert len(stage.scheduler.policy.waits) == 0

        on_stage(tmp_path, work)


def test_what_is_deleted_in_the_middle_of_an_attempt_leaves_no_log(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        async def deleted(agent: FakeAgent, request: DeliveryRequest) -> None:
            stage.path("active", request.queue_id).unlink()  # postsuper -d removes the logs, too
            await defers(agent, request)

        stage.agents(deleted)
        queue_id = stage.put("a@one.test")
        await stage.settle()
        assert stage.bounce.forgotten == [queue_id]

    on_stage(tmp_path, work)


class TestClockSetBack:
    """The clock was two hours ahead when the system came up, and is put right."""

    BACK = -7200.0

    def test_what_was_dead_is_tried_again(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.put("a@one.test")
            await stage.settle()  # nobody listens yet: the transport is dead
            agents = stage.agents(unreachable)
            stage.clock.ahead = self.BACK
            stage.put("b@two.test")
            await stage.settle()
            assert agents.addresses == ["b@two.test"]
            agents.behave = sends
            stage.clock.ahead += self.BACK  # and once more: now the next hop is dead
            queue_id = stage.put("c@two.test")
            await stage.settle()
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work, initial_destination_concurrency="1")

    def test_what_has_to_pause_goes_on(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            for number in range(3):
                stage.put(f"a{number}@one.test")
            await stage.until(lambda: len(agents.addresses) == 1)
            stage.clock.ahead = self.BACK
            await stage.until(lambda: len(agents.addresses) == 2)
            stage.clock.ahead += 61
            await stage.settle()
            assert len(agents.addresses) == 3

        on_stage(tmp_path, work, there_destination_rate_delay="60s")

    def test_new_files_are_looked_for(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            stage.pump()
            stage.clock.ahead = self.BACK
            queue_id = stage.put("a@one.test")
            stage.pump()
            assert stage.where(queue_id) != "incoming"
            await stage.settle()

        on_stage(tmp_path, work)

    def test_an_agent_takes_as_much_as_before(self) -> None:
        occupancy = Occupancy(2, 10)
        for tag in range(2):
            occupancy.begin(tag, False, 10000.0)
        occupancy.age(10000.0 + self.BACK)
        assert occupancy.free(False) == 2
