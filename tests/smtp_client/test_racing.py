"""The order and the overlap of attempts, on a clock that only moves when everyone waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pillarbox.smtp_client.racing import NobodyAnswers, first_to_answer


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop without waiting: where nothing is ready its clock goes on to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class Race:
    """`times` has the moment of each server's answer, negative where that is a refusal."""

    def __init__(self, times: dict[str, float], delay: float = 0.25) -> None:
        self._times = times
        self._delay = delay
        self.begun: dict[str, float] = {}
        self.failed: list[str] = []
        self.hung_up: list[str] = []
        self.cancelled: list[str] = []
        self.ended = 0.0
        self.too_late: set[str] = set()
        """Who answers in the moment in which it is given up."""

    async def _dial(self, server: str) -> str:
        self.begun[server] = asyncio.get_running_loop().time()
        after = self._times[server]
        try:
            await asyncio.sleep(abs(after))
        except asyncio.CancelledError:
            self.cancelled.append(server)
            if server in self.too_late:
                return f"socket of {server}"
            raise
        if after < 0:
            raise OSError(f"{server} refuses")
        return f"socket of {server}"

    def run(self) -> str:
        async def race() -> str:
            try:
                server, sock = await first_to_answer(
                    list(self._times),
                    self._dial,
                    self._delay,
                    failed=lambda server, error: self.failed.append(server),
                    hang_up=self.hung_up.append,
                )
            finally:
                self.ended = asyncio.get_running_loop().time()
                assert not asyncio.all_tasks() - {asyncio.current_task()}, "an attempt was left running"
            assert sock == f"socket of {server}"
            return server

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(race())


def test_a_dead_first_address_costs_a_quarter_of_a_second() -> None:
    race = Race({"six": 30.0, "four": 0.01})
    assert race.run() == "four"
    assert race.begun == {"six": 0.0, "four": 0.25}
    assert race.ended == pytest.approx(0.26)
    assert race.cancelled == ["six"]
    assert race.failed == []  # it was given up, not found dead


def test_the_first_one_that_is_quick_enough_is_alone() -> None:
    race = Race({"six": 0.2, "four": 0.0})
    assert race.run() == "six"
    assert race.begun == {"six": 0.0}


def test_a_refusal_brings_the_next_at_once() -> None:
    race = Race({"a": -0.01, "b": -0.01, "c": 0.0})
    assert race.run() == "c"
    assert race.failed == ["a", "b"]
    assert race.ended < 0.1


def test_the_older_attempt_may_still_win() -> None:
    race = Race({"a": 0.4, "b": 5.0, "c": 5.0})
    assert race.run() == "a"
    assert set(race.begun) == {"a", "b"}
    assert race.cancelled == ["b"]


def test_the_second_to_answer_is_hung_up_on() -> None:
    race = Race({"a": 0.5, "b": 9.0, "c": 9.0})
    race.too_late = {"b"}
    assert race.run() == "a"
    assert race.hung_up == ["socket of b"]


def test_nobody() -> None:
    race = Race({"a": -30.0, "b": -0.1, "c": -30.0})
    with pytest.raises(NobodyAnswers):
        race.run()
    assert sorted(race.failed) == ["a", "b", "c"]
    assert race.ended == pytest.approx(30.35)


def test_without_a_delay_there_is_one_at_a_time() -> None:
    race = Race({"a": -30.0, "b": 1.0, "c": 0.0}, delay=0.0)
    assert race.run() == "b"
    assert race.begun == {"a": 0.0, "b": 30.0}


@pytest.mark.parametrize("when", [0.1, 0.3])
def test_whoever_is_told_to_stop_leaves_nothing_behind(when: float) -> None:
    race = Race({"a": 30.0, "b": 30.0})

    async def stopped(run: Callable[[], Coroutine[Any, Any, object]]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(when):
                await run()

    async def run() -> object:
        return await first_to_answer(
            ["a", "b"], race._dial, 0.25, failed=lambda server, error: None, hang_up=lambda sock: None
        )

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(stopped(run))
    assert sorted(race.cancelled) == sorted(race.begun)
