"""What a sender asked about time: not before (RFC 4865), not after (RFC 2852)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.delivery.result import ENTRUSTED, RELAYED, SENT, TRACED, Result
from pillarbox.lib.queue import Recipient
from pillarbox.lib.queue.deliver_by import DeliverBy, parse_deliver_by
from pillarbox.lib.queue.listing import FORCED_EXPIRE, FORCED_RELEASE
from tests.qmgr.stage import Behaviour, FakeAgent, Stage, defers, on_stage


class TestRelease:
    def test_a_message_waits_for_its_release_and_is_delivered_then(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            release = stage.clock() + 1000
            queue_id = stage.put("a@one.test", release=release)
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert stage.path("deferred", queue_id).stat().st_mtime == pytest.approx(release, abs=1)
            assert not agents.requests
            assert stage.logged(f"{queue_id}: from=<sender@here.test>, held until ")
            stage.clock.ahead = 1001
            await stage.until(lambda: stage.where(queue_id) == "")
            assert agents.addresses == ["a@one.test"]

        on_stage(tmp_path, work)

    def test_neither_a_restart_nor_a_flush_releases_it(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", release=stage.clock() + 1000)
            await stage.settle()
            stage.start()
            assert await stage.intake.flush("", "") == 1
            await stage.settle()
            assert await stage.intake.flush(queue_id, "") == 1
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert not agents.requests
            assert queue_id in stage.timetable

        on_stage(tmp_path, work)

    def test_a_crash_on_the_way_to_deferred_releases_nothing(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", queue="active", release=stage.clock() + 1000)
            stage.start()
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert not agents.requests

        on_stage(tmp_path, work)

    def test_an_administrator_can_let_it_go(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", release=stage.clock() + 1000)
            await stage.settle()
            path = stage.path("deferred", queue_id)
            path.chmod(0o600 | FORCED_RELEASE)
            os.utime(path)
            stage.intake.changed((queue_id,))
            await stage.until(lambda: stage.where(queue_id) == "")
            assert agents.addresses == ["a@one.test"]
            assert not list((stage.spool / "spare").iterdir()), "a marked file is not used again"

        on_stage(tmp_path, work)

    def test_an_administrator_can_have_it_returned(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", release=stage.clock() + 1000)
            await stage.settle()
            path = stage.path("deferred", queue_id)
            path.chmod(0o600 | FORCED_EXPIRE)
            os.utime(path)
            stage.intake.changed((queue_id,))
            await stage.until(lambda: stage.where(queue_id) == "")
            assert not agents.requests
            assert stage.bounce.log("bounce") == ["a@one.test"]

        on_stage(tmp_path, work)

    def test_its_life_in_the_queue_begins_with_the_release(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test", arrival=stage.clock() - 99, release=stage.clock() - 1)
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert stage.bounce.log("bounce") == []

        on_stage(tmp_path, work, maximal_queue_lifetime="50s")


class TestDeliverBy:
    def test_what_an_envelope_says(self) -> None:
        assert parse_deliver_by("100;RT") == DeliverBy(100, returns=True, trace=True)
        assert parse_deliver_by("100;N") == DeliverBy(100, returns=False, trace=False)
        assert parse_deliver_by("") is parse_deliver_by("x;R") is parse_deliver_by("100;Q") is None

    @pytest.mark.parametrize(("text", "value"), [("100;RT", "40;RT"), ("20;N", "-40;N"), ("61;NT", "1;NT")])
    def test_the_next_system_is_told_what_is_left(self, text: str, value: str) -> None:
        by = parse_deliver_by(text)
        assert by is not None
        assert by.parameter(60.0) == value

    def test_after_its_deadline_it_is_returned_instead_of_delivered(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", "b@two.test", deliver_by=f"{int(stage.clock()) - 1};R")
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert not agents.requests
            assert {(kind, dsn, text) for kind, _, dsn, text, _ in stage.bounce.appended} == {
                ("bounce", "5.4.7", "delivery time expired")
            }

        on_stage(tmp_path, work)

    def test_a_last_attempt_at_the_deadline_decides(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            deadline = int(stage.clock()) + 100
            queue_id = stage.put("a@one.test", deliver_by=f"{deadline};R")
            await stage.settle()
            assert stage.path("deferred", queue_id).stat().st_mtime == deadline
            stage.clock.ahead = 101
            await stage.until(lambda: stage.where(queue_id) == "")
            assert [one[:3] for one in stage.bounce.appended if one[0] == "bounce"] == [
                ("bounce", "a@one.test", "5.4.7")
            ]

        on_stage(tmp_path, work)

    def test_a_deferral_after_the_deadline_is_a_failure(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            async def slowly(agent: FakeAgent, request: DeliveryRequest) -> None:
                stage.clock.ahead = 200
                await defers(agent, request)

            stage.agents(slowly)
            queue_id = stage.put("a@one.test", deliver_by=f"{int(stage.clock()) + 100};R")
            await stage.until(lambda: stage.where(queue_id) == "")
            assert stage.bounce.appended == [("bounce", "a@one.test", "5.4.7", "delivery time expired: busy", False)]

        on_stage(tmp_path, work)

    def test_a_message_that_stood_in_line_too_long_is_returned(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", deliver_by=f"{int(stage.clock()) + 100};R")
            stage.intake.look_again()
            stage.intake.pump()
            stage.clock.ahead = 200  # before an agent has been connected to
            await stage.until(lambda: stage.where(queue_id) == "")
            assert not agents.requests
            assert stage.bounce.appended == [("bounce", "a@one.test", "5.4.7", "delivery time expired", False)]

        on_stage(tmp_path, work)

    def test_with_mode_n_the_sender_is_told_and_delivery_goes_on(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            deadline = int(stage.clock()) + 100
            queue_id = stage.put("a@one.test", deliver_by=f"{deadline};N")
            await stage.settle()
            assert stage.bounce.warned == []
            assert stage.path("deferred", queue_id).stat().st_mtime == deadline
            stage.clock.ahead = 101
            await stage.until(lambda: stage.bounce.warned == [queue_id])
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert stage.path("deferred", queue_id).stat().st_mtime > deadline + 250

        on_stage(tmp_path, work)

    def test_an_agent_is_told_of_the_deadline(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            stage.put("a@one.test", deliver_by="9999999999;NT")
            await stage.settle()
            assert agents.requests[0].deliver_by == "9999999999;NT"

        on_stage(tmp_path, work)


def hands_over(handed: str) -> Behaviour:
    async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
        await agent.answer(
            request, [Result(one.n, SENT, "2.0.0", "ok", "m[1.2.3.4]:25", handed=handed) for one in request.recipients]
        )

    return behave


@pytest.mark.parametrize(
    ("handed", "told"),
    [("", ["s@one.test"]), (RELAYED, ["s@one.test"]), (ENTRUSTED, []), (TRACED, ["p@one.test", "s@one.test"])],
)
def test_a_success_is_told_as_it_was_handed_over(tmp_path: Path, handed: str, told: list[str]) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(hands_over(handed))
        stage.put(
            Recipient("s@one.test", notify=("success",)),
            "p@one.test",
            Recipient("n@one.test", notify=("never",)),
        )
        await stage.settle()
        assert sorted(stage.bounce.log("bounce")) == told

    on_stage(tmp_path, work)
