"""How a destination is slowed down by complaints, and how it becomes free again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.log import log
from pillarbox.qmgr import backoff as module
from pillarbox.qmgr.backoff import PACES_LIMIT, PATIENCE, SUCCESSES, Backoff
from pillarbox.qmgr.replies import Advice, Kind

RATE = Advice(Kind.RATE)
REPLY = "421 4.7.28 too fast"
LONGEST = 600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines() -> Iterator[list[str]]:
    with log.capture() as captured:
        yield captured


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backoff(clock: Clock) -> Backoff:
    return Backoff(LONGEST, clock)


def complain(backoff: Backoff, clock: Clock, times: int = 1) -> list[float]:
    """Complaints, each after the pause that the last one led to; the intervals."""
    found = []
    for _ in range(times):
        backoff.told("k", "a.test", RATE, REPLY)
        pace = backoff.pace("k")
        assert pace is not None
        found.append(pace.interval)
        clock.now += pace.interval
    return found


class TestComplaints:
    def test_each_makes_it_slower_up_to_the_longest_interval(self, backoff: Backoff, clock: Clock) -> None:
        assert complain(backoff, clock, 9) == [2, 6, 18, 54, 162, 486, 600, 600, 600]

    def test_fewer_run_at_once(self, backoff: Backoff, clock: Clock) -> None:
        windows = []
        for _ in range(4):
            complain(backoff, clock)
            pace = backoff.pace("k")
            assert pace is not None
            windows.append(pace.window)
        assert windows == [2, 1, 1, 1]

    def test_those_that_were_under_way_count_once(self, backoff: Backoff, clock: Clock) -> None:
        assert backoff.told("k", "a.test", RATE, REPLY)
        for _ in range(20):
            assert backoff.told("k", "a.test", RATE, REPLY)
        pace = backoff.pace("k")
        assert pace is not None and pace.level == 1

    @pytest.mark.parametrize("kind", [Kind.LATER, Kind.OTHER])
    def test_what_is_no_complaint_slows_nothing(self, backoff: Backoff, kind: Kind) -> None:
        assert not backoff.told("k", "a.test", Advice(kind, 300.0), REPLY)
        assert backoff.pace("k") is None

    def test_a_pause_that_the_server_names_is_kept_within_bounds(self, backoff: Backoff, clock: Clock) -> None:
        backoff.told("k", "a.test", Advice(Kind.RATE, 100.0), REPLY)
        pace = backoff.pace("k")
        assert pace is not None and pace.pause_until == clock.now + 100
        backoff.told("k", "a.test", Advice(Kind.RATE, 9999.0), REPLY)
        assert pace.pause_until == clock.now + LONGEST

    def test_nothing_is_learnt_where_no_time_is_allowed(self, clock: Clock) -> None:
        backoff = Backoff(0.0, clock)
        assert not backoff.told("k", "a.test", RATE, REPLY)
        assert backoff.pace("k") is None


class TestRecovery:
    def test_successes_lower_the_level_until_it_is_free(self, backoff: Backoff, clock: Clock, lines: list[str]) -> None:
        complain(backoff, clock, 3)
        for _ in range(2 * SUCCESSES):
            backoff.succeeded("k", "a.test")
        pace = backoff.pace("k")
        assert pace is not None and (pace.level, pace.interval) == (1, 2.0)
        for _ in range(SUCCESSES):
            backoff.succeeded("k", "a.test")
        assert backoff.pace("k") is None
        assert lines[-1].endswith("mail to a.test goes at full speed again")

    def test_a_complaint_between_them_begins_the_count_anew(self, backoff: Backoff, clock: Clock) -> None:
        complain(backoff, clock)
        for _ in range(20):
            for _ in range(SUCCESSES - 1):
                backoff.succeeded("k", "a.test")
            backoff.told("k", "a.test", RATE, REPLY)
        assert backoff.pace("k") is not None

    def test_time_heals_too(self, backoff: Backoff, clock: Clock, lines: list[str]) -> None:
        complain(backoff, clock, 2)
        clock.now += PATIENCE
        backoff.decay(str)
        assert backoff.pace("k") is not None
        clock.now += PATIENCE
        backoff.decay(lambda key: "a.test")
        assert backoff.pace("k") is None and "a.test goes at full speed" in lines[-1]

    def test_a_clock_that_was_set_back_heals_as_well(self, backoff: Backoff, clock: Clock) -> None:
        complain(backoff, clock)
        clock.now -= 10_000
        backoff.decay(str)
        assert backoff.pace("k") is None

    def test_a_flush_forgets(self, backoff: Backoff, clock: Clock) -> None:
        complain(backoff, clock)
        backoff.forget()
        assert backoff.pace("k") is None


class TestMemory:
    def test_the_oldest_are_forgotten(self, backoff: Backoff, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PACES_LIMIT", 3)
        for name in "abc":
            backoff.told(name, name, RATE, REPLY)
        clock.now += 10
        backoff.told("a", "a", RATE, REPLY)
        backoff.told("d", "d", RATE, REPLY)
        assert [name for name in "abcd" if backoff.pace(name)] == ["a", "c", "d"]
        assert PACES_LIMIT == 1000

    def test_the_log_says_why_in_bounded_words(self, backoff: Backoff, lines: list[str]) -> None:
        backoff.told("k", "google.com", RATE, "421 4.7.28 " + "x" * 5000)
        assert "mail to google.com is slowed down to one delivery every 2 seconds, 2 at once: 421 4.7.28 x" in lines[0]
        assert len(lines[0]) < 400

    @given(st.lists(st.tuples(st.sampled_from("tsd"), st.floats(-1e4, 1e4))))
    def test_an_interval_is_always_within_bounds(self, steps: list[tuple[str, float]]) -> None:
        clock = Clock()
        backoff = Backoff(LONGEST, clock)
        with log.capture():
            for what, passed in steps:
                clock.now += passed
                if what == "t":
                    backoff.told("k", "x", RATE, REPLY)
                elif what == "s":
                    backoff.succeeded("k", "x")
                else:
                    backoff.decay(str)
                pace = backoff.pace("k")
                assert pace is None or (0 < pace.interval <= LONGEST and pace.level > 0 and pace.window >= 1)
