"""A destination that fills the active queue is named in the log, with the limit that holds it up."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.log import log
from pillarbox.qmgr.clogs import OFF, Clogs
from pillarbox.qmgr.destination import Destination, NextHop
from pillarbox.qmgr.job import Job, Peer
from pillarbox.qmgr.message import ActiveMessage
from pillarbox.qmgr.transport import Transport
from pillarbox.qmgr.window import WindowRules

LIMIT = 100


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    lines: list[str] = []
    monkeypatch.setattr(log, "warning", lines.append)
    yield lines


def config(**settings: object) -> Config:
    return Config.for_tests(qmgr_message_active_limit=str(LIMIT), **settings)


def transport(*destinations: tuple[str, int, int], full: bool = False, **rules: float) -> Transport:
    """A transport with destinations, each with so many waiting messages and so many deliveries under way."""
    windows = WindowRules(initial=5, limit=int(rules.get("limit", 20)))
    found = SimpleNamespace(
        name="smtp",
        rules=SimpleNamespace(
            windows=windows,
            rate_delay=rules.get("rate_delay", 0),
            transport_rate_delay=rules.get("transport_rate_delay", 0),
        ),
        nexthops=SimpleNamespace(known={}),
        pool=SimpleNamespace(full=full),
    )
    for name, waiting, busy in destinations:
        destination = Destination(windows, (5, 3))
        destination.busy = busy
        nexthop = NextHop(name, "", destination)
        for _ in range(waiting):
            job = Job(cast(ActiveMessage, None), cast(Transport, found))
            nexthop.peers[job] = Peer(job, nexthop)
        found.nexthops.known[name, ""] = nexthop
    return cast(Transport, found)


def look(clogged: Transport, active: int = 50, **settings: object) -> Clogs:
    clogs = Clogs(config(**settings))
    clogs.look([clogged], active, 1000.0)
    return clogs


def test_who_takes_up_more_than_a_fifth_is_named(said: list[str]) -> None:
    look(transport(("slow.test", 18, 5), ("good.test", 15, 5)))
    assert said[0] == "mail for slow.test is using up 23 of 100 active queue entries"
    assert not any("good.test" in line for line in said)
    assert said[-1] == OFF


def test_it_is_said_once_in_the_interval(said: list[str]) -> None:
    clogged = transport(("slow.test", 30, 5))
    clogs = look(clogged, qmgr_clog_warn_time="60s")
    first = len(said)
    clogs.look([clogged], 50, 1059.0)
    assert len(said) == first
    clogs.look([clogged], 50, 1070.0)
    assert len(said) == 2 * first


def test_nothing_is_said_where_it_is_turned_off(said: list[str]) -> None:
    look(transport(("slow.test", 30, 5)), qmgr_clog_warn_time="0")
    assert said == []


def test_a_queue_with_little_in_it_is_not_looked_through(said: list[str]) -> None:
    look(cast(Transport, SimpleNamespace()), active=20)
    assert said == []


def test_next_hops_that_share_servers_count_together(said: list[str]) -> None:
    clogged = transport(("a.test", 12, 0), ("b.test", 12, 0))
    one, other = clogged.nexthops.known.values()
    other.destination = one.destination
    one.destination.site = "provider.test"
    look(clogged)
    assert said[0] == "mail for provider.test is using up 24 of 100 active queue entries"


@pytest.mark.parametrize(
    ("how", "cure"),
    [
        ({"limit": 5}, "increase smtp_destination_concurrency_limit from 5"),
        ({"full": True, "limit": 20}, "sessions or processes of the service smtp in master.yaml"),
        ({"rate_delay": 2}, "smtp_destination_rate_delay lets one delivery through every 2 seconds"),
        ({"transport_rate_delay": 3}, "smtp_transport_rate_delay lets one delivery through every 3 seconds"),
        ({}, "reduce smtp_connect_timeout and smtp_helo_timeout"),
    ],
)
def test_the_cure_fits_what_holds_it_up(said: list[str], how: dict[str, Any], cure: str) -> None:
    busy = 5 if how.get("limit") == 5 else 3
    look(transport(("slow.test", 30, busy), **how))
    assert any(cure in line for line in said), said
