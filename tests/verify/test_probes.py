"""Whom a probe asks, and what an answer means."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients.lookup import LookupUnavailable, RecipientVerdict, Route
from pillarbox.lib.clients.verify import DELIVERABLE, UNDELIVERABLE, UNKNOWN
from pillarbox.lib.config import Config, Service
from pillarbox.lib.delivery.request import DeliveryRequest, parse_request
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed
from pillarbox.verify.probes import Agent, ProbeFailed, Prober

SERVICES = {
    "smtp": Service("smtp", "smtp_client"),
    "lmtp": Service("lmtp", "smtp_client"),
    "inside": Service("inside", "smtp_client", options={"smtp_client_protocol": "lmtp"}),
    "virtual": Service("virtual", "virtual"),
    "probe": Service("probe", "smtp_client"),
    "probe-lmtp": Service("probe-lmtp", "smtp_client"),
}
OK = RecipientVerdict("ok", "relay")


class FakeLookup:
    def __init__(self, verdict: RecipientVerdict, route: Route | None) -> None:
        self.verdict, self.route = verdict, route

    async def recipient(self, address: str) -> RecipientVerdict:
        return self.verdict

    async def probing_route(self, address: str) -> Route:
        if self.route is None:
            raise LookupUnavailable("away")
        return self.route


class FakeAgent:
    made: list[str]

    def __init__(self, result: Result | None) -> None:
        self.result = result
        self.made = []
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, path: str, service: str) -> Any:
        self.made.append(service)
        return self

    async def probe(self, sender: str, recipient: str, nexthop: str) -> Result:
        self.asked.append((sender, recipient, nexthop))
        if self.result is None:
            raise ProbeFailed("probe: gone")
        return self.result


def find(
    verdict: RecipientVerdict, transport: str, result: Result | None = None, **values: str
) -> tuple[str, str, Any]:
    config = Config(Config.for_tests(**values).values, SERVICES)
    agent = FakeAgent(result)
    route = Route(transport, "mx.far.test", "u@far.test", "relay") if transport else None
    prober = Prober(config, FakeLookup(verdict, route), agent)  # type: ignore[arg-type]
    found = asyncio.run(prober.probe("u@far.test"))
    return found.status, found.text, agent


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Result(0, SENT, "2.1.5", "250 2.1.5 Ok"), DELIVERABLE),
        (Result(0, BOUNCED, "5.1.1", "host said: 550 no"), UNDELIVERABLE),
        (Result(0, DEFERRED, "4.4.1", "connection refused"), UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_what_a_server_says(result: Result | None, status: str) -> None:
    found, text, agent = find(OK, "smtp", result)
    assert found == status
    assert text == (result.text if result is not None else "4.3.0 probe: gone")
    assert agent.asked == [("", "u@far.test", "mx.far.test")]
    assert agent.made == ["probe"]


@pytest.mark.parametrize("transport", ["lmtp", "inside"])
def test_lmtp_servers_are_asked_in_lmtp(transport: str) -> None:
    assert find(OK, transport, Result(0, SENT, "2.1.5", "ok"))[2].made == ["probe-lmtp"]


def test_the_sender_of_probes() -> None:
    agent = find(OK, "smtp", Result(0, SENT, "2.1.5", "ok"), address_verify_sender="probe@our.test")[2]
    assert agent.asked[0][0] == "probe@our.test"


@pytest.mark.parametrize(
    ("verdict", "transport", "status"),
    [
        (OK, "virtual", DELIVERABLE),
        (OK, "discard", DELIVERABLE),
        (OK, "error", UNDELIVERABLE),
        (OK, "retry", UNKNOWN),
        (OK, "nosuch", UNKNOWN),
        (OK, "", UNKNOWN),
        (RecipientVerdict("unknown", "local", "User unknown", 550, "5.1.1"), "virtual", UNDELIVERABLE),
        (RecipientVerdict("error", "local", "moved", 550, "5.1.6"), "virtual", UNDELIVERABLE),
        (RecipientVerdict("error", "local", "not now", 450, "4.3.0"), "virtual", UNKNOWN),
    ],
)
def test_what_needs_no_server(verdict: RecipientVerdict, transport: str, status: str) -> None:
    found, _, agent = find(verdict, transport)
    assert found == status
    assert not agent.asked


@pytest.mark.parametrize("service", ["virtual", "nosuch"])
def test_a_service_that_would_deliver_the_probe_is_not_asked(service: str) -> None:
    found, text, agent = find(OK, "smtp", address_verify_smtp_service=service)
    assert (found, text) == (UNKNOWN, f"4.3.5 there is no service {service} of smtp_client to ask with")
    assert not agent.asked


class Stand:
    """An agent's side: greets, hands requests to the story."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)

    async def accept(self) -> AsyncChannel:
        connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        connection.setblocking(False)
        channel = AsyncChannel(connection)
        await channel.send({"hello": "probe", "capacity": 100})
        return channel


async def request_of(channel: AsyncChannel) -> DeliveryRequest:
    request = parse_request(await channel.receive(10), 0.0)
    assert request.probe and request.content.read(0, 100) == b"Subject: probe\n\n"
    request.close()
    return request


def answer(request: DeliveryRequest) -> dict[str, object]:
    result = Result(0, SENT, "2.1.5", request.recipients[0].address)
    return {"tag": request.tag, "results": [result.frame()], "site": ""}


def test_answers_overtake_each_other(tmp_path: Path) -> None:
    async def story() -> None:
        stand, agent = Stand(tmp_path / "probe"), Agent(str(tmp_path / "probe"), "probe")
        asking = [asyncio.create_task(agent.probe("", f"{name}@far.test", "far.test")) for name in "ab"]
        channel = await stand.accept()
        requests = [await request_of(channel) for _ in asking]
        for request in reversed(requests):
            await channel.send(answer(request))
        assert [result.text for result in await asyncio.gather(*asking)] == ["a@far.test", "b@far.test"]
        agent.close()

    asyncio.run(story())


def test_an_agent_that_leaves_still_answers_and_another_takes_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        stand, agent = Stand(tmp_path / "probe"), Agent(str(tmp_path / "probe"), "probe")
        first = asyncio.create_task(agent.probe("", "a@far.test", "far.test"))
        old = await stand.accept()
        request = await request_of(old)
        await old.send({"bye": True})
        await asyncio.sleep(0.05)
        second = asyncio.create_task(agent.probe("", "b@far.test", "far.test"))
        new = await stand.accept()
        await new.send(answer(await request_of(new)))
        assert (await second).text == "b@far.test"
        await old.send(answer(request))
        assert (await first).text == "a@far.test"
        with pytest.raises(ChannelClosed):  # idle now, it is let go
            await old.receive(10)
        agent.close()

    asyncio.run(story())


def test_an_agent_that_dies_is_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        stand, agent = Stand(tmp_path / "probe"), Agent(str(tmp_path / "probe"), "probe")
        asking = asyncio.create_task(agent.probe("", "a@far.test", "far.test"))
        channel = await stand.accept()
        await request_of(channel)
        channel.close()
        with pytest.raises(ProbeFailed):
            await asking
        agent.close()
        with pytest.raises(ProbeFailed):
            await Agent(str(tmp_path / "none"), "probe").probe("", "a@far.test", "far.test")

    asyncio.run(story())


def test_the_descriptors_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        Agent(str(tmp_path / "none"), "probe").close()
    assert len(os.listdir("/proc/self/fd")) <= before
