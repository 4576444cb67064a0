"""The pure parts: when to try again, when to give up, and which message is due."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
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
