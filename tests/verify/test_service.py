"""When an address is probed, what is answered meanwhile, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pillarbox.lib.clients.verify import DELIVERABLE, UNDELIVERABLE, UNKNOWN, Verified
from pillarbox.lib.log import log
from pillarbox.verify.cache import FILE, Cache, Entry
from pillarbox.verify.service import IN_PROGRESS, TOO_MANY, Times, Verifier

ADDRESS = "u@far.test"
DAY = 86400.0
TIMES = Times(7 * DAY, 31 * DAY, 3 * 3600.0, 3 * DAY)
YES, NO, LATER = (
    Verified(DELIVERABLE, "250 2.1.5 Ok"),
    Verified(UNDELIVERABLE, "550 5.1.1 no"),
    Verified(UNKNOWN, "450 4.2.0 later"),
)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """`answer` is what probes find; they end when `gate` is open."""

    def __init__(self, directory: Path, times: Times = TIMES) -> None:
        self.clock = Clock()
        self.cache = Cache(str(directory))
        self.answer = YES
        self.gate = asyncio.Event()
        self.gate.set()
        self.probed: list[str] = []
        self.verifier = Verifier(self.cache, self._probe, times, self.clock)

    async def _probe(self, address: str) -> Verified:
        self.probed.append(address)
        await self.gate.wait()
        return self.answer

    async def verify(self, address: str = ADDRESS, wait: float = 5) -> Verified:
        found = await self.verifier.verify(address, wait)
        await asyncio.sleep(0.01)  # a renewal that was begun ends
        return found


def scene(directory: Path, story: Callable[[World], Awaitable[None]], times: Times = TIMES) -> None:
    async def run() -> None:
        world = World(directory, times)
        try:
            await story(world)
        finally:
            world.cache.close()

    asyncio.run(run())


@pytest.mark.parametrize("found", [YES, NO])
def test_a_result_is_remembered(tmp_path: Path, found: Verified) -> None:
    async def story(world: World) -> None:
        world.answer = found
        assert await world.verify() == found
        assert await world.verify() == found
        assert world.probed == [ADDRESS]

    scene(tmp_path, story)


def test_a_temporary_failure_is_not(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.answer = LATER
        assert await world.verify() == LATER
        world.answer = YES
        assert await world.verify() == YES

    scene(tmp_path, story)


@pytest.mark.parametrize(("first", "refresh", "expire"), [(YES, 7 * DAY, 31 * DAY), (NO, 3 * 3600.0, 3 * DAY)])
def test_an_old_result_is_renewed_and_a_very_old_one_forgotten(
    tmp_path: Path, first: Verified, refresh: float, expire: float
) -> None:
    async def story(world: World) -> None:
        world.answer = first
        await world.verify()
        world.clock.now += refresh - 1
        await world.verify()
        assert len(world.probed) == 1
        world.clock.now += 1
        world.answer = LATER  # the renewal fails: what was known still counts
        assert await world.verify() == first
        assert len(world.probed) == 2
        assert await world.verify() == first
        assert len(world.probed) == 2, "not probed again at once"
        world.clock.now += expire
        assert await world.verify() == LATER
        assert len(world.probed) == 3

    scene(tmp_path, story)


def test_a_renewal_replaces_the_result(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.verify()
        world.clock.now += 8 * DAY
        world.answer = NO
        assert await world.verify() == YES
        assert await world.verify() == NO

    scene(tmp_path, story)


def test_who_does_not_want_to_wait_is_told_so_and_the_probe_goes_on(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.gate.clear()
        assert await world.verify(wait=0.01) == Verified(UNKNOWN, IN_PROGRESS)
        assert await world.verify(wait=0) == Verified(UNKNOWN, IN_PROGRESS)
        assert world.probed == [ADDRESS], "one probe for all who ask"
        world.gate.set()
        assert await world.verify() == YES

    scene(tmp_path, story)


def test_the_number_of_probes_is_limited(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.gate.clear()
        await world.verify(wait=0)
        assert await world.verify("other@far.test", wait=0) == Verified(UNKNOWN, TOO_MANY)
        world.gate.set()

    scene(tmp_path, story, Times(1, 1, 1, 1, pending_limit=1))


def test_without_a_negative_cache_a_no_is_asked_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.answer = NO
        await world.verify()
        await world.verify()
        assert len(world.probed) == 2

    scene(tmp_path, story, Times(*[DAY] * 4, negative_cache=False))


def test_a_domain_has_no_case_and_a_local_part_has(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.verify("u@FAR.test")
        await world.verify("u@far.TEST")
        await world.verify("U@far.test")
        assert world.probed == ["u@far.test", "U@far.test"]

    scene(tmp_path, story)


def test_a_fault_of_ours_is_no_result(tmp_path: Path) -> None:
    async def broken(address: str) -> Verified:
        raise RuntimeError("oh")

    async def story() -> None:
        cache = Cache(str(tmp_path))
        with log.capture() as lines:
            found = await Verifier(cache, broken, TIMES).verify(ADDRESS, 5)
        assert found.status == UNKNOWN
        assert any("panic" in line for line in lines)
        cache.close()

    asyncio.run(story())


class TestCache:
    def test_what_has_expired_is_swept(self, tmp_path: Path) -> None:
        cache = Cache(str(tmp_path))
        for number, (deliverable, updated) in enumerate([(True, 10), (True, 20), (False, 10), (False, 30)]):
            cache.keep(f"{number}@x", Entry(deliverable, updated, ""))
        cache.sweep(positive=20, negative=30)
        assert [cache.find(f"{number}@x") is not None for number in range(4)] == [False, True, False, True]
        cache.close()

    def test_it_is_there_after_a_restart(self, tmp_path: Path) -> None:
        cache = Cache(str(tmp_path))
        cache.keep(ADDRESS, Entry(True, 5, "ok"))
        cache.close()
        assert Cache(str(tmp_path)).find(ADDRESS) == Entry(True, 5, "ok")

    def test_a_damaged_file_is_begun_anew(self, tmp_path: Path) -> None:
        (tmp_path / FILE).write_bytes(b"this is no database at all" * 100)
        with log.capture() as lines:
            cache = Cache(str(tmp_path))
            cache.keep(ADDRESS, Entry(True, 5, "ok"))
            assert cache.find(ADDRESS) == Entry(True, 5, "ok")
        assert any("beginning anew" in line for line in lines)

    def test_without_a_directory_nothing_is_known(self, tmp_path: Path) -> None:
        with log.capture() as lines:
            cache = Cache(str(tmp_path / "none"))
            cache.keep(ADDRESS, Entry(True, 5, "ok"))
            assert cache.find(ADDRESS) is None
        assert any("nothing is remembered" in line for line in lines)
