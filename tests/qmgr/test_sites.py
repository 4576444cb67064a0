"""Domains with the same servers share a window, and each dies alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.qmgr.job import Job, Peer
from pillarbox.qmgr.nexthops import REMEMBERED, SEVERAL, NextHops
from pillarbox.qmgr.sites import AT_ONCE, PATIENCE, SHORTEST
from pillarbox.qmgr.window import WindowRules
from tests.qmgr.stage import FakeAgent, FakeAgents, Stage, on_stage, sends, unreachable


def provider(stage: Stage, behave: object = sends, domains: int = 10) -> FakeAgents:
    agents = stage.agents(behave, capacity=100)  # type: ignore[arg-type]
    agents.sites = {f"d{n}.test": "provider" for n in range(domains)}
    return agents


class TestWindow:
    def test_all_domains_of_a_site_share_one(self, tmp_path: Path) -> None:
        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            await asyncio.sleep(0.002)
            await sends(agent, request)

        async def work(stage: Stage) -> None:
            agents = provider(stage, slow)
            for n in range(40):
                stage.put(f"u{n}@d{n % 10}.test")
            await stage.settle()
            assert len(agents.requests) == 40
            assert agents.most <= 3
            assert sorted(agents.asked) == sorted(f"d{n}.test" for n in range(10)), "each is asked about once"

        on_stage(
            tmp_path, work, default_destination_concurrency_limit="3", initial_destination_concurrency="3", processes=1
        )

    def test_switched_off_each_domain_has_its_own(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
                await gate.wait()
                await sends(agent, request)

            agents = provider(stage, slow)
            for n in range(20):
                stage.put(f"u{n}@d{n % 10}.test")
            await stage.until(lambda: agents.running == 10)
            assert not agents.asked
            gate.set()
            await stage.settle()

        on_stage(tmp_path, work, there_destination_sites="no", there_destination_concurrency_limit="1", processes=1)

    def test_the_rate_delay_is_that_of_the_site(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage)
            stage.put("u@d0.test", "u@d1.test")
            await stage.until(lambda: agents.requests and stage.scheduler.idle)
            await asyncio.sleep(0.02)
            assert len(agents.requests) == 1
            stage.clock.ahead += 61
            await stage.settle()
            assert len(agents.requests) == 2

        on_stage(tmp_path, work, default_destination_rate_delay="60s", processes=1)


class TestCosts:
    @pytest.mark.parametrize("nexthop", ["[relay.test]", "[192.0.2.1]:2525", "unix:/run/lmtp"])
    def test_a_host_is_never_asked_about(self, tmp_path: Path, nexthop: str) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage)
            stage.lookup.routes["u@one.test"] = Route("there", nexthop, "u@one.test", "relay")
            stage.put("u@one.test")
            await stage.settle()
            assert len(agents.requests) == 1 and not agents.asked

        on_stage(tmp_path, work)

    def test_agents_that_tell_none_are_not_asked(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            stage.put("u@one.test")
            await stage.settle()
            stage.put("u@two.test")
            await stage.settle()
            assert len(agents.requests) == 2 and not agents.asked

        on_stage(tmp_path, work)

    def test_an_answer_is_renewed_when_its_time_is_over(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage)
            for ahead, asked in ((0, 1), (599, 1), (601, 2)):
                stage.clock.ahead = ahead
                stage.put("u@d0.test")
                await stage.settle()
                assert len(agents.asked) == asked

        on_stage(tmp_path, work)

    def test_the_agent_that_told_the_site_delivers(self, tmp_path: Path) -> None:
        """It still knows the servers."""

        async def work(stage: Stage) -> None:
            delivered: dict[str, FakeAgent] = {}

            async def noted(agent: FakeAgent, request: DeliveryRequest) -> None:
                delivered[request.nexthop] = agent
                await sends(agent, request)

            agents = provider(stage, noted, domains=0)
            agents.capacity = 5
            for n in range(40):
                stage.put(f"u@e{n}.test")
            await stage.settle()
            assert len(agents.agents) == 2
            delivered.clear()
            for n in range(10):  # as many as they have room for, together
                stage.put(f"u@f{n}.test")
            await stage.settle()
            assert len(delivered) == 10
            told = {nexthop: agent for agent in agents.agents for nexthop in agent.asked}
            assert {agents.agents.index(agent) for agent in told.values()} == {0, 1}, "both are asked"
            assert all(told[nexthop] is agent for nexthop, agent in delivered.items())

        on_stage(tmp_path, work, processes=2)


class TestNoAnswer:
    def test_mail_waits_no_longer_than_some_seconds(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage)
            agents.site_gate = asyncio.Event()
            queue_id = stage.put("u@d0.test")
            await stage.until(lambda: agents.asked)
            await asyncio.sleep(0.02)
            assert not agents.requests
            stage.clock.ahead = PATIENCE + 0.1
            await stage.until(lambda: not stage.where(queue_id))
            destination = stage.scheduler.transport("there").nexthop("d0.test").destination
            assert not destination.site
            agents.site_gate.set()  # a late answer counts for what comes
            await stage.until(lambda: destination.site == "provider")

        on_stage(tmp_path, work)

    def test_many_that_nobody_answers_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage)
            agents.site_gate = asyncio.Event()
            ids = [stage.put(f"u@x{n}.test") for n in range(2 * AT_ONCE + 100)]
            await stage.until(lambda: len(agents.asked) == AT_ONCE)
            stage.clock.ahead = PATIENCE + 0.1
            await stage.until(lambda: not any(map(stage.where, ids)))
            agents.site_gate.set()

        on_stage(tmp_path, work)

    def test_an_agent_that_dies_over_the_question(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage)
            agents.site_gate = asyncio.Event()
            queue_id = stage.put("u@d0.test")
            await stage.until(lambda: agents.asked)
            agents.agents[0].channel.close()
            await stage.until(lambda: not stage.where(queue_id))
            assert len(agents.asked) == 1
            stage.clock.ahead = SHORTEST + 1
            agents.site_gate.set()
            stage.put("u@d0.test")
            await stage.settle()
            assert len(agents.asked) == 2

        on_stage(tmp_path, work)

    def test_without_agents_what_is_held_is_put_off(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            queue_id = stage.put("u@d0.test", "u@d1.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            agents = provider(stage)
            stage.scheduler.revive()
            await stage.intake.flush("", "")
            await stage.until(lambda: not stage.where(queue_id))
            assert len(agents.requests) == 2

        on_stage(tmp_path, work)


class TestDeath:
    def test_one_customers_broken_servers_do_not_suspend_the_provider(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
                await (unreachable if request.nexthop == "d0.test" else sends)(agent, request)

            agents = provider(stage, behave)
            broken = [stage.put("u@d0.test") for _ in range(30)]
            fine = [stage.put(f"u@d{1 + n % 9}.test") for n in range(60)]
            await stage.settle()
            assert {stage.where(one) for one in broken} == {"deferred"}
            assert not any(map(stage.where, fine))
            assert agents.addresses.count("u@d0.test") < 20
            assert stage.logged("(delivery temporarily suspended: connect: Connection refused)")

        on_stage(tmp_path, work, processes=1)

    def test_several_that_fail_with_no_success_between_do(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = provider(stage, unreachable)
            ids = [stage.put(f"u@d{n % 10}.test") for n in range(60)]
            await stage.settle()
            assert {stage.where(one) for one in ids} == {"deferred"}
            assert len(agents.requests) < 20
            late = stage.put("u@d9.test")
            stage.intake.arrived((late,))
            await stage.settle()
            assert stage.where(late) == "deferred" and len(agents.requests) < 20

        on_stage(tmp_path, work, processes=1)


class TestNextHops:
    @staticmethod
    def made(**rules: int) -> NextHops:
        return NextHops(WindowRules(**rules), (5, 3), 300.0, lambda: 1000.0)

    def test_two_that_fail_are_dead_and_the_site_is_not(self) -> None:
        nexthops = self.made()
        members = [nexthops.get(f"d{n}.test") for n in range(5)]
        for one in members:
            nexthops.join(one, "provider")
        for _ in range(30):
            for one in members[: SEVERAL - 1]:
                nexthops.failed(one, "refused", 1000.0)
        assert [one.dead(1000.0) for one in members] == [True, True, False, False, False]

    def test_a_success_between_forgives(self) -> None:
        nexthops = self.made()
        members = [nexthops.get(f"d{n}.test") for n in range(5)]
        for one in members:
            nexthops.join(one, "provider")
        for _ in range(50):
            for one in members[:4]:
                nexthops.failed(one, "refused", 1000.0)
            nexthops.succeeded(members[4])
        assert members[0].dead(1000.0) and not members[4].dead(1000.0)

    def test_a_next_hop_of_its_own_dies_as_before(self) -> None:
        nexthops = self.made()
        one = nexthops.get("d.test")
        assert [bool(nexthops.failed(one, "refused", 1000.0)) for _ in range(4)] == [False, False, False, True]
        assert one.dead(1299.0) and not one.dead(1300.0)

    def test_a_domain_that_moves_takes_what_is_parked_with_it(self) -> None:
        nexthops = self.made()
        one, other = nexthops.get("a.test"), nexthops.get("b.test")
        assert not nexthops.join(one, "old") and not nexthops.join(other, "old")
        assert one.destination is other.destination and one.destination.members == 2
        peers = [Peer(Job(None, None), hop) for hop in (one, other, one)]  # type: ignore[arg-type]
        for fresh, peer in zip((True, False, False), peers, strict=True):
            one.destination.park(peer, fresh)
        assert list(nexthops.join(one, "new")) == [peers[0], peers[2]]
        assert one.destination is not other.destination
        assert nexthops.sites.keys() == {"old", "new"}
        nexthops.join(other, "new")
        assert nexthops.sites.keys() == {"new"} and one.destination.members == 2
        nexthops.join(other, "")
        assert one.destination.members == 1 and not other.destination.site

    def test_memory_is_bounded(self) -> None:
        nexthops = self.made()
        for n in range(5 * REMEMBERED):
            nexthops.join(nexthops.get(f"d{n}.test"), f"site{n % 2500}")
        assert len(nexthops.known) <= 2 * REMEMBERED
        assert len(nexthops.sites) <= len(nexthops.known)
