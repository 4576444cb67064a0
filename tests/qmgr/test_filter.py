"""A message with a content filter goes there, whatever its recipients."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.lib.queue import Recipient, StoredRecipient
from pillarbox.qmgr.filter import filter_route
from tests.qmgr.stage import Stage, on_stage


@pytest.mark.parametrize(
    ("value", "transport", "nexthop"),
    [
        ("scan:[127.0.0.1]:10025", "scan", "[127.0.0.1]:10025"),
        ("scan:dummy", "scan", "dummy"),
        ("scan:", "scan", "y.test"),
        ("scan", "scan", "y.test"),
    ],
)
def test_transport_and_next_hop(value: str, transport: str, nexthop: str) -> None:
    route = filter_route(value, StoredRecipient(80, Recipient("b@y.test")))
    assert (route.transport, route.nexthop, route.recipient) == (transport, nexthop, "b@y.test")


def test_all_recipients_go_to_the_filter_and_lookup_is_not_asked(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        agents = stage.agents()
        queue_id = stage.put("a@one.test", "b@two.test", "c@three.test", filter="there:[127.0.0.1]:10025")
        await stage.settle()
        assert stage.where(queue_id) == ""
        (request,) = agents.requests
        assert request.nexthop == "[127.0.0.1]:10025"
        assert [one.address for one in request.recipients] == ["a@one.test", "b@two.test", "c@three.test"]
        assert stage.lookup.asked == []

    on_stage(tmp_path, work)


def test_a_filter_that_is_away_defers(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        queue_id = stage.put("a@one.test", "b@two.test", filter="nowhere:there")
        await stage.until(lambda: stage.where(queue_id) == "deferred")
        assert sorted(stage.bounce.log("defer")) == ["a@one.test", "b@two.test"]
        assert stage.bounce.log("bounce") == []

    on_stage(tmp_path, work)
