"""What senders asked to hear: expansions, VERP, what would be done (-bv), what the first attempt has done (-v)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.queue import Recipient
from tests.qmgr.stage import Behaviour, Stage, bounces, defers, on_stage, sends


def test_an_expanded_recipient_is_reported_and_not_delivered(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents()
        marker = Recipient("list@one.test", notify=("success",), expanded=True)
        queue_id = stage.put("a@one.test", marker, "b@two.test")
        await stage.until(lambda: stage.where(queue_id) == "")
        assert sorted(agents.addresses) == ["a@one.test", "b@two.test"]
        assert stage.bounce.appended == [("bounce", "list@one.test", "2.0.0", "alias expanded", False)]
        assert stage.bounce.flushed == [queue_id]
        assert not stage.logged("to=<list@one.test>"), "it is no delivery"

    on_stage(tmp_path, work)


def test_it_is_reported_once_though_others_wait(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(defers)
        marker = Recipient("list@one.test", notify=("success",), expanded=True)
        queue_id = stage.put(marker, "a@one.test")
        await stage.settle()
        assert stage.where(queue_id) == "deferred"
        stage.clock.ahead = 1e5
        stage.start()
        await stage.intake.flush("", "")
        await stage.settle()
        assert stage.bounce.log("bounce") == ["list@one.test"]

    on_stage(tmp_path, work)


def test_a_bounce_out_of_reach_keeps_the_report(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.agents()
        stage.bounce.down = True
        queue_id = stage.put(Recipient("list@one.test", notify=("success",), expanded=True), "a@one.test")
        await stage.settle()
        assert stage.where(queue_id) == "deferred"
        assert [one.recipient.address for one in stage.recipients("deferred", queue_id) if not one.done] == [
            "list@one.test"
        ]

    on_stage(tmp_path, work)


def test_with_verp_each_recipient_is_told_a_sender_of_its_own(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents()
        recipients = ["a@one.test", "b@one.test", Recipient("c@one.test", original="alias@here.test")]
        queue_id = stage.put(*recipients, verp="+=")
        await stage.until(lambda: stage.where(queue_id) == "")
        assert sorted(
            (request.sender, *(one.address for one in request.recipients)) for request in agents.requests
        ) == [
            ("sender+a=one.test@here.test", "a@one.test"),
            ("sender+alias=here.test@here.test", "c@one.test"),
            ("sender+b=one.test@here.test", "b@one.test"),
        ]

    on_stage(tmp_path, work)


@pytest.mark.parametrize(("behave", "dsn"), [(sends, "2.0.0"), (defers, "4.2.0"), (bounces, "5.1.1")])
def test_a_probe_delivers_nothing_and_reports_whatever_comes_of_it(tmp_path: Path, behave: Behaviour, dsn: str) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents(behave)
        queue_id = stage.put("a@one.test", Recipient("b@one.test", notify=("never",)), report="verify")
        await stage.until(lambda: stage.where(queue_id) == "")
        assert all(request.probe for request in agents.requests)
        assert sorted((kind, address, code) for kind, address, code, *_ in stage.bounce.appended) == [
            ("bounce", "a@one.test", dsn),
            ("bounce", "b@one.test", dsn),
        ]
        assert stage.bounce.flushed == [queue_id]

    on_stage(tmp_path, work)


def test_other_mail_is_no_probe(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents()
        queue_id = stage.put("a@one.test")
        await stage.until(lambda: stage.where(queue_id) == "")
        assert [request.probe for request in agents.requests] == [False]

    on_stage(tmp_path, work)


@pytest.mark.parametrize(("behave", "kind"), [(sends, "bounce"), (defers, "defer"), (bounces, "bounce")])
def test_a_recorded_delivery_is_noted_whatever_comes_of_it(tmp_path: Path, behave: Behaviour, kind: str) -> None:
    async def work(stage: Stage) -> None:
        stage.agents(behave)
        queue_id = stage.put("a@one.test", report="record")
        await stage.until(lambda: queue_id in stage.bounce.flushed)
        assert stage.bounce.log(kind) == ["a@one.test"]

    on_stage(tmp_path, work)
