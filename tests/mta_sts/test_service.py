"""What counts for a domain, when it is looked up anew, and who waits for what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.log import log
from pillarbox.lib.smtp.sts_policy import StsPolicy, parse_policy
from pillarbox.mta_sts import service as service_module
from pillarbox.mta_sts.cache import MIN_LIFE, Cache
from pillarbox.mta_sts.service import (
    CHECK_INTERVAL,
    DNS_RETRY_AFTER,
    RENEW_INTERVAL,
    RETRY_AFTER,
    USED_WITHIN,
    Found,
    Policies,
    Unknown,
)
from pillarbox.mta_sts.source import FETCH_ERROR, Announced, SourceFailed

DAY = 86400
FAR = "far.test"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """`id` and `max_age` are what the domains publish (None: nothing); look-ups end while `gate` is open."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.directory = directory
        self.id: str | None = "1"
        self.max_age = 10 * DAY
        self.ttl = 300.0
        self.dns_fails = False
        self.web_fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.fetched: list[str] = []
        self.begin()

    def begin(self) -> None:
        """As at the start of a process."""
        self.cache = Cache(str(self.directory))
        self.policies = Policies(self.cache, self, self.clock)

    async def announced(self, domain: str) -> Announced:
        self.asked.append(domain)
        if self.dns_fails:
            raise SourceFailed("DNS is away")
        return Announced(self.id, self.ttl)

    async def fetch(self, domain: str, identity: str) -> StsPolicy:
        self.fetched.append(domain)
        await self.gate.wait()
        if self.web_fails:
            raise SourceFailed("the web server is away", FETCH_ERROR)
        text = f"version: STSv1\nmode: enforce\nmx: mx.{domain}\nmax_age: {self.max_age}\nx: {identity}\n"
        return parse_policy(domain, identity, text)

    async def policy(self, domain: str = FAR, wait: float = 5.0) -> Found:
        found = await self.policies.policy(domain, wait)
        await asyncio.sleep(0.01)  # what was begun behind it ends
        return found


def scene(directory: Path, story: Callable[[World], Awaitable[None]]) -> list[str]:
    async def run() -> None:
        world = World(directory)
        try:
            await story(world)
        finally:
            world.cache.close()

    with log.capture() as lines:
        asyncio.run(run())
    assert not [line for line in lines if "panic" in line]
    return lines


def is_policy(found: Found, identity: str = "1") -> bool:
    return isinstance(found, StsPolicy) and found.id == identity


def test_a_policy_is_fetched_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            assert is_policy(await world.policy())
        assert world.asked == world.fetched == [FAR]

    assert any("MTA-STS policy of far.test: id=1 mode=enforce" in line for line in scene(tmp_path, story))


def test_it_survives_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.begin()
        world.dns_fails = True
        assert is_policy(await world.policy())
        assert world.asked == [FAR]

    scene(tmp_path, story)


def test_it_ends_with_its_max_age(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.dns_fails = world.web_fails = True
        world.clock.now += world.max_age - 1
        assert is_policy(await world.policy()), "whatever can be reached meanwhile"
        world.clock.now += 1
        assert isinstance(await world.policy(), Unknown)

    scene(tmp_path, story)


def test_it_counts_even_where_the_record_has_gone(tmp_path: Path) -> None:
    """RFC 8461 section 5: an attacker who can take the record away must not take the policy away."""

    async def story(world: World) -> None:
        await world.policy()
        world.id = None
        world.clock.now += CHECK_INTERVAL
        assert is_policy(await world.policy()) and is_policy(await world.policy())
        world.clock.now += world.max_age
        assert await world.policy() is None

    scene(tmp_path, story)


def test_a_new_id_is_fetched_behind_the_answer(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.id = "2"
        world.clock.now += CHECK_INTERVAL - 1
        assert is_policy(await world.policy(), "1") and is_policy(await world.policy(), "1")
        world.clock.now += 1
        assert is_policy(await world.policy(), "1"), "nobody waits for the new one"
        assert is_policy(await world.policy(), "2")
        assert world.fetched == [FAR] * 2

    scene(tmp_path, story)


def test_the_same_id_is_not_fetched_again_before_half_of_its_life(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.clock.now += world.max_age / 2 - 1
        await world.policy()
        assert world.fetched == [FAR]
        world.clock.now += CHECK_INTERVAL
        await world.policy()
        assert world.fetched == [FAR] * 2

    scene(tmp_path, story)


def test_a_failed_renewal_keeps_the_policy_and_is_tried_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.id, world.web_fails = "2", True
        world.clock.now += CHECK_INTERVAL
        assert is_policy(await world.policy()) and is_policy(await world.policy())
        assert world.fetched == [FAR] * 2
        world.web_fails = False
        world.clock.now += RETRY_AFTER - 1
        assert is_policy(await world.policy())
        assert world.fetched == [FAR] * 2
        world.clock.now += 1
        await world.policy()
        assert is_policy(await world.policy(), "2")

    assert any("the MTA-STS policy of far.test from before stays" in line for line in scene(tmp_path, story))


def test_policies_are_renewed_without_being_asked_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.clock.now += world.max_age / 2 - 1
        world.policies.renew()
        await asyncio.sleep(0.01)
        assert world.fetched == [FAR]
        world.clock.now += 2
        world.policies.renew()
        await asyncio.sleep(0.01)
        assert world.fetched == [FAR] * 2
        world.clock.now += world.max_age - 1
        assert is_policy(await world.policy())

    scene(tmp_path, story)


def test_a_renewal_that_fails_is_tried_again_until_the_end(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.policy()
        world.web_fails = True
        world.clock.now += world.max_age / 2 + 1
        for _ in range(3):
            world.policies.renew()
            await asyncio.sleep(0.01)
            world.clock.now += RENEW_INTERVAL + CHECK_INTERVAL
        assert len(world.fetched) == 4

    scene(tmp_path, story)


def test_unused_policies_are_left_to_expire(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.max_age = int(3 * USED_WITHIN)
        await world.policy()
        world.clock.now += 1.6 * USED_WITHIN
        world.policies.renew()
        await asyncio.sleep(0.01)
        assert world.fetched == [FAR]
        world.clock.now += 2 * USED_WITHIN
        world.policies.renew()
        assert world.cache.find(FAR, 0) is None, "what has expired is dropped"

    scene(tmp_path, story)


def test_a_domain_without_a_policy_is_not_asked_again_for_a_while(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.id = None
        assert await world.policy() is None
        world.id = "1"
        world.clock.now += world.ttl - 1
        assert await world.policy() is None
        assert world.asked == [FAR]
        world.clock.now += 1
        assert is_policy(await world.policy())

    scene(tmp_path, story)


@pytest.mark.parametrize(("ttl", "seconds"), [(0.0, 60), (1e9, 3600)])
def test_no_policy_is_remembered_for_a_minute_at_least_and_an_hour_at_most(
    tmp_path: Path, ttl: float, seconds: int
) -> None:
    async def story(world: World) -> None:
        world.id, world.ttl = None, ttl
        await world.policy()
        world.clock.now += seconds - 1
        await world.policy()
        assert len(world.asked) == 1
        world.clock.now += 1
        await world.policy()
        assert len(world.asked) == 2

    scene(tmp_path, story)


def test_what_cannot_be_fetched_is_not_fetched_again_for_five_minutes(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.web_fails = True
        for _ in range(3):
            assert await world.policy() == Unknown("the web server is away", FETCH_ERROR)
        world.clock.now += RETRY_AFTER - 1
        await world.policy()
        assert len(world.fetched) == 1
        world.clock.now += 1
        world.web_fails = False
        assert is_policy(await world.policy())

    scene(tmp_path, story)


def test_where_dns_is_away_nobody_can_say(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.dns_fails = True
        assert await world.policy() == Unknown("DNS is away")
        assert await world.policy() == Unknown("DNS is away")
        assert len(world.asked) == 1
        world.dns_fails = False
        world.clock.now += DNS_RETRY_AFTER
        assert is_policy(await world.policy())

    scene(tmp_path, story)


def test_a_short_max_age_does_not_cause_a_fetch_per_message(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.max_age = 0
        await world.policy()
        world.clock.now += MIN_LIFE - 1
        assert is_policy(await world.policy())
        assert len(world.fetched) == 1

    scene(tmp_path, story)


def test_a_domain_that_hangs_holds_up_only_its_own_first_question(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.gate.clear()
        first = await world.policies.policy(FAR, 0.05)
        assert isinstance(first, Unknown) and "did not come within" in first.why
        again = await asyncio.wait_for(world.policies.policy(FAR, 0.05), 5)
        assert isinstance(again, Unknown)
        assert world.fetched == [FAR], "one fetch at a time"
        world.gate.set()
        await asyncio.sleep(0.01)
        assert is_policy(await world.policy()), "it went on behind"
        assert world.fetched == [FAR]

    scene(tmp_path, story)


def test_whoever_asks_while_a_fetch_runs_waits_for_the_same_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.gate.clear()
        questions = [asyncio.ensure_future(world.policies.policy(FAR, 5)) for _ in range(10)]
        await asyncio.sleep(0.01)
        world.gate.set()
        assert all(is_policy(found) for found in await asyncio.gather(*questions))
        assert world.fetched == [FAR]

    scene(tmp_path, story)


def test_fetches_and_look_ups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "AT_ONCE", 3)
    monkeypatch.setattr(service_module, "PENDING_LIMIT", 5)

    async def story(world: World) -> None:
        world.gate.clear()
        questions = [asyncio.ensure_future(world.policies.policy(f"d{n}.test", 5)) for n in range(7)]
        await asyncio.sleep(0.01)
        assert len(world.fetched) == 3
        world.gate.set()
        found = await asyncio.gather(*questions)
        assert [isinstance(each, StsPolicy) for each in found] == [True] * 5 + [False] * 2

    scene(tmp_path, story)


def test_what_is_no_policy_is_remembered_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "REMEMBERED", 3)

    async def story(world: World) -> None:
        world.id = None
        for number in range(5):
            await world.policies.policy(f"d{number}.test", 5)
        for number in range(5):
            await world.policies.policy(f"d{4 - number}.test", 5)
        assert world.asked[5:] == ["d1.test", "d0.test"]

    scene(tmp_path, story)


def test_a_fault_of_ours_is_no_answer(tmp_path: Path) -> None:
    class Broken(World):
        async def announced(self, domain: str) -> Announced:
            raise RuntimeError("oh")

    async def story() -> None:
        world = Broken(tmp_path)
        assert await world.policy() == Unknown("internal error")

    with log.capture() as lines:
        asyncio.run(story())
    assert any("panic" in line for line in lines)


def test_requests_and_replies(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async def ask(**values: object) -> dict[str, object]:
            return await world.policies.answer(Attributes({"do": "policy", "wait": 5, **values}))

        reply = await ask(domain="FAR.test")
        assert (reply["ok"], reply["id"]) == (True, "1")
        world.web_fails = True
        assert await ask(domain="b.test") == {"ok": True, "failure": "the web server is away", "result": FETCH_ERROR}
        world.id = None
        assert await ask(domain="c.test") == {"ok": True, "id": "", "text": ""}
        for bad in ({"do": "other"}, {"domain": ""}, {"domain": "x" * 256}, {"domain": "\u00e4.test"}, {"domain": 5}):
            with pytest.raises(ProtocolError):
                await ask(**{"domain": FAR, **bad})

    scene(tmp_path, story)
