"""Everything at once, by chance: whatever happens, all mail ends, once, and nothing remains counted.

Agents die, refuse and ask for patience; helpers go away; an administrator holds, releases, deletes and flushes; the
clock jumps; the queue manager is restarted.  Then all is well again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.queue import Recipient
from tests.qmgr.stage import FakeAgent, Stage, on_stage

DAY = 86400.0
DOMAINS = [f"d{number}.test" for number in range(8)]
SERVICES = ("there", "other")
STEPS = 150

SETTINGS = {
    "qmgr_message_recipient_limit": "30",
    "qmgr_message_recipient_minimum": "3",
    "there_destination_recipient_limit": "3",
    "there_destination_concurrency_limit": "3",
    "there_initial_destination_concurrency": "2",
    "other_recipient_limit": "10",
}
POLICY = {
    "retry": "{d0.test: [5m, 15m], d1.test: [1h, give up after 3h], 'mx:provider': [10m], other: 20m}",
    "source_addresses": "192.0.2.5 out1.example.com, 192.0.2.6 out2.example.com",
    "warm_up": "{192.0.2.6: {since: 2026-11-01, per_day: [3]}, 192.0.2.5: {since: 2040-11-01, per_day: [5]}}",
}


class Chaos:
    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.calm = False
        self.delivered: Counter[tuple[str, int]] = Counter()
        self.failed: Counter[tuple[str, int]] = Counter()
        self.recipients: dict[str, list[int]] = {}
        self.gone: set[str] = set()
        """Messages that were deleted."""
        self.appended = stage.bounce.append
        stage.bounce.append = self.append  # type: ignore[method-assign]

    # --- agents
    async def behave(self, agent: FakeAgent, request: DeliveryRequest) -> None:
        chance = self.random.random()
        await asyncio.sleep(self.random.choice((0, 0, 0.001, 0.003)))
        if self.calm or chance < 0.4:
            await self.answer(agent, request, lambda: SENT)
        elif chance < 0.6:
            await self.answer(agent, request, lambda: self.random.choice((SENT, DEFERRED, BOUNCED)))
        elif chance < 0.75:
            await self.answer(agent, request, lambda: DEFERRED, site="connect to mx: Connection refused")
        elif chance < 0.85:
            text = "host mx said: 421 4.7.28 too many connections, come back in 2 minutes"
            await self.answer(agent, request, lambda: DEFERRED, text=text, site=self.random.choice((text, "")))
        elif chance < 0.92:
            await self.answer(
                agent, request, lambda: DEFERRED, text="host mx said: 450 4.7.1 greylisted, try again in 300 seconds"
            )
        elif chance < 0.96:
            await agent.answer(request, [])
        else:
            agent.channel.close()

    async def answer(
        self, agent: FakeAgent, request: DeliveryRequest, status: Any, text: str = "so it is", site: str = ""
    ) -> None:
        codes = {SENT: "2.0.0", DEFERRED: "4.0.0", BOUNCED: "5.0.0"}
        results = [Result(one.n, said := status(), codes[said], text) for one in request.recipients]
        await agent.answer(request, results, site)
        self.delivered.update((request.queue_id, result.n) for result in results if result.status == SENT)

    async def append(self, kind: str, queue_id: str, recipient: Recipient, result: Result, **more: Any) -> None:
        await self.appended(kind, queue_id, recipient, result, **more)
        if kind == "bounce" and result.status != SENT:
            self.failed[queue_id, result.n] += 1

    # --- what happens
    def message(self) -> None:
        count = self.random.choice((1, 1, 2, 5, 12))
        drawn = [f"u{self.random.randrange(99)}@{self.random.choice(DOMAINS)}" for _ in range(count)]
        addresses = list(dict.fromkeys(drawn))
        for address in addresses:
            domain = address.partition("@")[2]
            if self.random.random() < 0.3:
                self.stage.lookup.routes[address] = Route("other", domain, address, "default")
        now = self.stage.clock()
        more: dict[str, Any] = self.random.choice(
            (
                {},
                {},
                {},
                {"verp": "+="},
                {"sender": ""},
                {"report": "record"},
                {"deliver_by": f"{int(now) + self.random.choice((100, 5000))};{self.random.choice('RN')}"},
                {"release": now + 400},
                {"filter": "other:d3.test"},
            )
        )
        queue_id = self.stage.put(*addresses, **more)
        self.recipients[queue_id] = [stored.n for stored in self.stage.recipients("incoming", queue_id)]

    def helpers(self) -> None:
        self.stage.bounce.down = self.random.random() < 0.3
        self.stage.lookup.down = self.random.random() < 0.2

    def administrator(self) -> None:
        for queue_id in self.recipients:
            if self.random.random() < 0.1 and (where := self.stage.where(queue_id)):
                path = self.stage.path(where, queue_id)
                chance = self.random.random()
                if chance < 0.15:
                    path.unlink()
                    self.gone.add(queue_id)
                elif where == "hold" or chance < 0.5:
                    os.utime(path, (0, 0))
                    path.rename(self.stage.path("deferred", queue_id))
                else:
                    path.rename(self.stage.path("hold", queue_id))
                self.stage.intake.changed((queue_id,))

    async def flush(self) -> None:
        site = self.random.choice(("", *DOMAINS))
        self.stage.scheduler.revive(paces=not site)
        await self.stage.intake.flush("", site)

    def clock(self) -> None:
        self.stage.clock.ahead += self.random.choice((1, 10, 300, 300, 1000, 4000, DAY, -3600))

    async def restart(self) -> None:
        stage = self.stage
        stage.scheduler.stop()
        while not stage.scheduler.idle:
            await asyncio.sleep(0.001)
        stage.scheduler.close()
        for message in stage.scheduler.active.messages.values():
            message.close()  # as the end of the process does
        await asyncio.sleep(0.02)
        stage.start()

    async def run(self) -> None:
        stage = self.stage
        for name in SERVICES:
            agents = stage.agents(self.behave, name=name, capacity=3, waiting=self.random.choice((0, 20)))
            if name == "there":
                agents.sites = dict.fromkeys(DOMAINS[2:6], "provider")
        for _ in range(STEPS):
            chance = self.random.random()
            if chance < 0.4:
                self.message()
            elif chance < 0.5:
                self.helpers()
            elif chance < 0.55:
                self.administrator()
            elif chance < 0.6:
                await self.flush()
            elif chance < 0.7:
                self.clock()
            elif chance < 0.72:
                await self.restart()
            stage.intake.look_again()
            stage.scheduler.timers.run_due()
            stage.intake.pump()
            await asyncio.sleep(self.random.choice((0, 0, 0.002, 0.01)))
        self.calm = True
        stage.bounce.down = stage.lookup.down = False
        for _ in range(1500):
            for queue_id in self.recipients:
                if stage.where(queue_id) == "hold":
                    stage.path("hold", queue_id).rename(stage.path("deferred", queue_id))
                    stage.intake.changed((queue_id,))
            if not any(stage.where(queue_id) for queue_id in self.recipients):
                break
            stage.clock.ahead += 1000
            stage.intake.look_again()
            stage.pump()
            await asyncio.sleep(0.003)
        await asyncio.sleep(0.05)

    def check(self) -> None:
        stage = self.stage
        left = {queue_id: where for queue_id in self.recipients if (where := stage.where(queue_id))}
        assert not left
        twice = {key: count for key, count in self.delivered.items() if count > 1}
        assert not twice, twice
        every = {(queue_id, n) for queue_id, places in self.recipients.items() for n in places}
        lost = {key for key in every - set(self.delivered) - set(self.failed) if key[0] not in self.gone}
        assert not lost
        assert not set(self.delivered) & set(self.failed), "told to have failed"
        scheduler = stage.scheduler
        assert not scheduler.active.messages
        assert scheduler.room.in_core == 0
        assert not scheduler.room.unread
        assert len(scheduler.policy.waits) == 0
        assert not scheduler.policy.sources._busy
        for transport in scheduler._transports.values():
            assert transport.recipients.in_core == 0, transport.name
            assert transport.busy == 0
            for nexthop in transport.nexthops.known.values():
                assert not nexthop.peers and not nexthop.held, nexthop.name
                assert nexthop.destination.busy == nexthop.destination.woken == 0, nexthop.name


@pytest.mark.parametrize("policy", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_all_mail_ends_once_whatever_happens(tmp_path: Path, seed: int, policy: bool) -> None:
    async def work(stage: Stage) -> None:
        chaos = Chaos(stage, seed)
        await chaos.run()
        chaos.check()

    more = POLICY if policy else {}
    on_stage(tmp_path, work, command="smtp_client" if policy else "virtual", **SETTINGS, **more)
