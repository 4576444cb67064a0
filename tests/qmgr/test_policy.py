"""Delivery policy in the queue manager: whole messages, fake agents, a clock that the test moves."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any, cast

import pytest

from pillarbox.lib.clients.suppression import Reason
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, Result
from pillarbox.qmgr.suppression import Suppression
from tests.qmgr.stage import FakeAgent, Stage, bounces, defers, on_stage, sends
from tests.qmgr.test_suppression import SAID, FakeClient

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def domain(address: str) -> str:
    return address.rpartition("@")[2]


def tried(stage: Stage) -> list[str]:
    """The domains that were tried since the last question."""
    found = sorted(domain(address) for service in stage.services for address in service.addresses)
    for service in stage.services:
        service.requests.clear()
    return found


async def later(stage: Stage, seconds: float) -> list[str]:
    """Let time pass; the domains that were tried then."""
    stage.clock.ahead += seconds
    await stage.settle()
    return tried(stage)


class TestSchedules:
    RETRY = "{one.test: [5m, 15m], two.test: 1h, short.test: [5m, give up after 12m]}"

    def test_each_destination_of_a_message_is_tried_at_its_own_times(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            stage.put("a@one.test", "b@two.test")
            assert await later(stage, 0) == ["one.test", "two.test"]
            assert await later(stage, 4 * MINUTE) == []
            assert await later(stage, 2 * MINUTE) == ["one.test"]
            assert await later(stage, 15 * MINUTE) == ["one.test"]
            assert await later(stage, 40 * MINUTE) == ["one.test", "two.test"]

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_the_log_says_when_one_with_a_lifetime_of_its_own_is_given_up(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            stage.put("a@one.test", "b@short.test")
            await later(stage, 0)
            assert set(stage.bounce.ends) == {"b@short.test"}
            assert 11 * MINUTE < stage.bounce.ends["b@short.test"] - stage.clock() <= 12 * MINUTE

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_the_reasons_of_those_that_are_left_alone_stay(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            stage.put("a@one.test", "b@two.test")
            await later(stage, 0)
            await later(stage, 6 * MINUTE)
            assert [fresh for *_, fresh in stage.bounce.appended] == [True, False, False]

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_it_survives_a_restart(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            stage.put("a@one.test", "b@two.test")
            await later(stage, 0)
            stage.scheduler.close()
            stage.start()
            assert await later(stage, 6 * MINUTE) == ["one.test"]

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_a_flush_is_for_everybody(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test", "b@two.test")
            await later(stage, 0)
            stage.scheduler.revive()
            assert await stage.intake.flush("", "") == 1
            assert await later(stage, 1) == ["one.test", "two.test"]
            assert await later(stage, 6 * MINUTE) == ["one.test"], "the schedule goes on as before"
            assert stage.where(queue_id) == "deferred"

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_a_release_from_hold_is_for_everybody(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test", "b@two.test")
            await later(stage, 0)
            os.utime(stage.path("deferred", queue_id), (0, 0))  # as postsuper -H does
            stage.intake.changed((queue_id,))
            assert await later(stage, 1) == ["one.test", "two.test"]

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_a_schedule_may_give_up_alone(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test", "b@short.test")
            await later(stage, 0)
            assert await later(stage, 5 * MINUTE) == ["one.test", "short.test"]
            assert await later(stage, 7 * MINUTE) == ["short.test"], "the end of the lifetime is an attempt"
            assert stage.bounce.log("bounce") == ["b@short.test"]
            assert [stored.done for stored in stage.recipients("deferred", queue_id)] == [False, True]
            assert stage.logged("status=expired, returned to sender")

        on_stage(tmp_path, work, retry=self.RETRY)

    def test_who_waits_for_an_answer_of_lookup_is_tried_soon(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            stage.lookup.down = True
            stage.put("b@two.test")
            await later(stage, 0)
            stage.lookup.down = False
            assert await later(stage, 6 * MINUTE) == ["two.test"]

        on_stage(tmp_path, work, retry=self.RETRY)


def says(reply: str, *, site: bool = False) -> Any:
    async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
        text = f"host mx[192.0.2.1] said: {reply} (in reply to RCPT TO command)"
        if site:
            text = f"host mx[192.0.2.1] refused to talk to me: {reply}"
        await agent.all(request, DEFERRED, "4.7.0", text, text if site else "")

    return behave


class TestReplies:
    def test_greylisting_times_its_recipient_only(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            grey = says("450 4.2.0 Greylisted, try again in 120 seconds")

            async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
                await (grey if request.nexthop == "grey.test" else defers)(agent, request)

            stage.agents(behave)
            stage.put("a@grey.test", "b@other.test")
            stage.put("c@grey.test")
            await later(stage, 0)
            assert await later(stage, 100) == []
            assert await later(stage, 30) == ["grey.test", "grey.test"]
            assert await later(stage, 180) == ["grey.test", "grey.test", "other.test"]
            assert not stage.logged("slowed down")

        on_stage(tmp_path, work)

    @pytest.mark.parametrize("site", [False, True])
    def test_a_complaint_slows_the_destination_down_and_no_other(self, tmp_path: Path, site: bool) -> None:
        async def work(stage: Stage) -> None:
            busy = says("421 4.7.28 unusual rate of mail", site=site)

            async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
                await (busy if request.nexthop == "busy.test" else sends)(agent, request)

            stage.agents(behave)
            stage.put("a@busy.test")
            await later(stage, 0)
            assert stage.logged("mail to busy.test is slowed down to one delivery every 2 seconds, 2 at once: ")
            for _ in range(4):
                stage.put("b@busy.test")
            stage.put("c@other.test")
            stage.intake.look_again()
            await stage.until(lambda: "c@other.test" in stage.services[0].addresses)
            assert tried(stage) == ["other.test"], "the others wait for their turn"
            await stage.until(
                lambda: (
                    (setattr(stage.clock, "ahead", stage.clock.ahead + 1), stage.scheduler.idle)[1]
                    and not stage.scheduler.active.messages
                )
            )
            assert "busy.test" in tried(stage)
            assert not stage.logged("temporarily suspended"), "a server that answers is not dead"

        on_stage(tmp_path, work)

    def test_it_is_free_again_after_successes(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            answers = [says("421 4.7.0 too many connections")]

            async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
                await (answers.pop() if answers else sends)(agent, request)

            stage.agents(behave)
            stage.put("a@busy.test")
            await later(stage, 0)
            for _ in range(6):
                stage.put("b@busy.test")
                await later(stage, 3)
            assert stage.logged("mail to busy.test goes at full speed again")

        on_stage(tmp_path, work)

    def test_what_would_wait_for_long_is_put_off(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(says("421 4.7.0 too many connections"))
            stage.put("a@busy.test")
            await later(stage, 0)
            pace = stage.scheduler.policy.pace("there", "busy.test")
            assert pace is not None
            pace.interval = 150.0
            for _ in range(5):
                stage.put("b@busy.test")
            stage.intake.look_again()
            await stage.until(lambda: len([1 for line in stage.lines if "has asked for less mail" in line]) == 3)

        on_stage(tmp_path, work)

    def test_switched_off_nothing_is_slowed_down(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(says("421 4.7.0 too many connections"))
            for _ in range(4):
                stage.put("a@busy.test")
            assert len(await later(stage, 0)) == 4
            assert not stage.logged("slowed down")

        on_stage(tmp_path, work, destination_backoff="no")


class TestSources:
    SETTINGS = {"source_addresses": "192.0.2.5 out1.test"}  # noqa: RUF012

    @staticmethod
    def warming(limit: str) -> dict[str, str]:
        day = datetime.datetime.now(datetime.UTC).date()
        return {**TestSources.SETTINGS, "warm_up": f"{{192.0.2.5: {{since: {day}, per_day: {limit}}}}}"}

    def test_the_request_names_the_source(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(sends)
            stage.put("a@one.test")
            await stage.settle()
            (request,) = stage.services[0].requests
            assert (request.sources, request.helo) == (("192.0.2.5",), "out1.test")

        on_stage(tmp_path, work, command="smtp_client", **self.SETTINGS)

    def test_other_agents_get_none(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(sends)
            stage.put("a@one.test")
            await stage.settle()
            assert stage.services[0].requests[0].sources == ()

        on_stage(tmp_path, work, **self.SETTINGS)

    def test_over_the_limit_mail_waits_untried_until_tomorrow(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(sends)
            queue_id = stage.put(*(f"u{number}@one.test" for number in range(5)), "a@two.test")
            await stage.settle()
            assert tried(stage) == ["one.test"] * 3 + ["two.test"], "the limit holds for each destination"
            assert stage.logged("the day's limit of mail to one.test from new addresses is reached (warm_up)")
            assert [stored.done for stored in stage.recipients("deferred", queue_id)].count(False) == 2
            assert stage.path("deferred", queue_id).stat().st_mtime % DAY == 0
            assert await later(stage, DAY) == ["one.test"] * 2
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work, command="smtp_client", **self.warming("[3, 100]"))

    def test_waiting_for_us_is_not_counted_against_its_lifetime(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(sends)
            queue_id = stage.put("a@one.test", arrival=stage.clock() - 6 * DAY)
            await stage.settle()
            assert stage.where(queue_id) == "deferred" and stage.bounce.log("bounce") == []
            stage.put("b@one.test", arrival=stage.clock() - 11 * DAY)
            await stage.settle()
            assert stage.bounce.log("bounce") == ["b@one.test"], "but somebody is told at last"

        on_stage(tmp_path, work, command="smtp_client", **self.warming("[0]"))

    def test_the_counts_survive_a_restart_and_what_was_not_sent_does_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()

        async def work(stage: Stage) -> None:
            answers = [defers]

            async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
                await (answers.pop() if answers else sends)(agent, request)

            stage.agents(behave)
            stage.put("a@one.test")
            await stage.settle()
            stage.put("b@one.test")
            await stage.settle()
            stage.scheduler.close()
            stage.start()
            tried(stage)
            for name in "cd":
                stage.put(f"{name}@one.test")
                await stage.settle()
            assert stage.services[0].addresses == ["c@one.test"]

        settings = {**self.warming("[2]"), "delivery_directory": str(tmp_path / "state")}
        on_stage(tmp_path, work, command="smtp_client", **settings)


class TestSuppression:
    @staticmethod
    def watch(stage: Stage, client: FakeClient) -> None:
        stage.scheduler.policy.suppression = Suppression(stage.config, cast(Any, client))

    def test_a_listed_recipient_goes_back_and_the_others_are_delivered(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            self.watch(stage, FakeClient({"a@one.test": Reason("asked for it", True)}))
            stage.agents(sends)
            for _ in range(2):  # the second time the routes are known
                stage.put("a@one.test", "b@one.test")
                await stage.settle()
            assert stage.bounce.log("bounce") == ["a@one.test"] * 2
            assert stage.services[0].addresses == ["b@one.test"] * 2
            assert stage.logged("dsn=5.7.1, status=bounced (The address gets no mail from ")

        on_stage(tmp_path, work, suppression_enable="yes")

    def test_without_the_service_mail_goes_on(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(sends)
            stage.put("a@one.test")
            await stage.settle()
            assert stage.services[0].addresses == ["a@one.test"]

        on_stage(tmp_path, work, suppression_enable="yes")

    def test_refusals_are_learnt(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            client = FakeClient({})
            self.watch(stage, client)

            async def refuses(agent: FakeAgent, request: DeliveryRequest) -> None:
                text = f"host mx[192.0.2.1] said: {SAID} (in reply to RCPT TO command)"
                await agent.answer(
                    request,
                    [
                        Result(one.n, BOUNCED, "5.1.1", text, "mx[192.0.2.1]:25", "dns; mx", f"smtp; {SAID}")
                        for one in request.recipients
                    ],
                )

            stage.agents(refuses)
            stage.agents(bounces, name="other")
            stage.put("a@one.test")
            await stage.settle()
            assert client.notes == [("a@one.test", SAID, 2, 90 * 86400)]

        on_stage(tmp_path, work, suppression_enable="yes", suppression_bounce_limit="2")
