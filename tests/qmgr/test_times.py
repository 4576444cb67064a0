"""The pure parts: when to try again, when to give up, which message is due, how a destination's window moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.qmgr.destination import Destination
from pillarbox.qmgr.retry import RetrySchedule
from pillarbox.qmgr.timetable import Timetable, read_due_times

DAY = 86400.0


class TestRetrySchedule:
    schedule = RetrySchedule(minimal=300, maximal=4000, lifetime=5 * DAY, bounce_lifetime=DAY)

    @pytest.mark.parametrize(
        ("age", "pause"), [(0, 300), (299, 300), (301, 301), (3000, 3000), (4001, 4000), (1e6, 4000)]
    )
    def test_the_pause_is_the_age_within_bounds(self, age: float, pause: float) -> None:
        assert self.schedule.next_attempt(1000.0, 1000.0 + age) == 1000.0 + age + pause

    def test_a_clock_that_was_set_back_does_not_give_a_negative_pause(self) -> None:
        assert self.schedule.next_attempt(5000.0, 1000.0) == 1300.0

    def test_bounds_the_wrong_way_round_are_no_trouble(self) -> None:
        assert RetrySchedule(300, 10, DAY, DAY).next_attempt(0.0, 1000.0) == 1300.0

    @pytest.mark.parametrize(
        ("sender", "age", "expired"),
        [("a@b", 5 * DAY - 1, False), ("a@b", 5 * DAY, True), ("", DAY - 1, False), ("", DAY, True)],
    )
    def test_lifetimes(self, sender: str, age: float, expired: bool) -> None:
        assert self.schedule.expired(sender, 100.0, 100.0 + age) is expired

    def test_the_defaults_are_those_of_postfix(self) -> None:
        assert RetrySchedule.of(Config.for_tests()) == RetrySchedule(300, 4000, 5 * DAY, 5 * DAY)

    @given(st.floats(0, 1e7), st.floats(0, 1e7))
    def test_a_later_try_never_comes_sooner(self, one: float, other: float) -> None:
        early, late = sorted((one, other))
        assert self.schedule.next_attempt(0.0, early) <= self.schedule.next_attempt(0.0, late)


class TestTimetable:
    def test_nothing_is_due_before_its_time(self) -> None:
        table = Timetable()
        table.enter("a", 10.0)
        assert table.next_due(9.9) is None
        assert table.next_due(10.0) == "a"
        assert table.next_due(99.0) is None

    def test_the_last_time_counts(self) -> None:
        table = Timetable()
        table.enter("a", 10.0)
        table.enter("a", 20.0)
        assert table.next_due(15.0) is None
        table.enter("a", 5.0)
        assert table.next_due(15.0) == "a"
        assert table.next_due(99.0) is None

    def test_a_removed_message_is_not_due(self) -> None:
        table = Timetable()
        table.enter("a", 10.0)
        table.remove("a")
        table.remove("a")
        assert table.next_due(99.0) is None and len(table) == 0

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 20)))), st.integers(0, 20))
    def test_as_a_plain_dictionary(self, steps: list[tuple[str, int | None]], now: int) -> None:
        table, model = Timetable(), dict[str, int]()
        for name, when in steps:
            if when is None:
                table.remove(name)
                model.pop(name, None)
            else:
                table.enter(name, when)
                model[name] = when
        assert set(table) == set(model)
        taken = []
        while (name := table.next_due(now)) is not None:
            taken.append(name)
        assert sorted(taken) == sorted(name for name, when in model.items() if when <= now)
        assert [model[name] for name in taken] == sorted(model[name] for name in taken)

    def test_entering_again_and_again_does_not_fill_memory(self) -> None:
        table = Timetable()
        for n in range(100_000):
            table.enter("abc"[n % 3], 1e9 + n)
        assert len(table._heap) < 10_000

    def test_due_times_are_read_from_files(self, tmp_path: Path) -> None:
        import os

        (tmp_path / "x").touch()
        os.utime(tmp_path / "x", (5.5, 7.25))
        assert list(read_due_times(str(tmp_path))) == [("x", 7.25)]


class TestDestination:
    @staticmethod
    def make(window: int = 5, limit: int = 20, cohorts: int = 1) -> Destination:
        return Destination("smtp", "a.test", window, window, limit, cohorts)

    def test_success_opens_the_window_up_to_the_limit(self) -> None:
        destination = self.make(2, 4)
        for _ in range(10):
            destination.busy = destination.window
            destination.succeeded()
        assert destination.window == 4

    def test_without_a_limit_it_opens_on(self) -> None:
        destination = self.make(2, 0)
        for _ in range(50):
            destination.busy = destination.window
            destination.succeeded()
        assert destination.window == 52

    def test_a_window_that_is_not_used_does_not_open(self) -> None:
        destination = self.make(5)
        for _ in range(10):
            destination.busy = 0
            destination.succeeded()
        assert destination.window == 5

    def test_a_whole_window_of_failures_is_death_for_a_while(self) -> None:
        destination = self.make(5)
        died = [destination.failed("refused", 100.0, 60.0) for _ in range(4)]
        assert died == [False, False, False, True]
        assert destination.dead(159.0) and not destination.dead(160.0)
        assert destination.window == 5

    def test_failures_between_successes_only_narrow_the_window(self) -> None:
        destination = self.make(5)
        for _ in range(20):
            destination.failed("refused", 0.0, 60.0)
            destination.busy = destination.window
            destination.succeeded()
        assert not destination.dead(0.0)
        assert 1 <= destination.window <= 6

    def test_more_cohorts_need_more_failures(self) -> None:
        destination = self.make(2, 20, 3)
        failures = 1
        while not destination.failed("refused", 0.0, 60.0):
            failures += 1
        assert failures > 3
