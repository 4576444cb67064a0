"""How the window of a destination moves (postconf(5), SCHEDULER_README)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config, Service
from pillarbox.lib.config.parameters.qmgr import Feedback, parse_feedback
from pillarbox.qmgr.window import Window, WindowRules


class TestSuccess:
    def test_opens_the_window_up_to_the_limit(self) -> None:
        window = Window(WindowRules(2, 4))
        for _ in range(10):
            window.succeeded(window.size)
        assert window.size == 4

    def test_without_a_limit_it_opens_on(self) -> None:
        window = Window(WindowRules(2, 0))
        for _ in range(50):
            window.succeeded(window.size)
        assert window.size == 52

    def test_a_window_that_is_not_used_does_not_open(self) -> None:
        window = Window(WindowRules(5))
        for _ in range(10):
            window.succeeded(0)
        assert window.size == 5

    def test_by_one_over_its_size_it_takes_a_window_full_of_successes(self) -> None:
        window = Window(WindowRules(4, 0, positive=Feedback(1.0, 1.0)))
        sizes = []
        for _ in range(9):
            window.succeeded(window.size)
            sizes.append(window.size)
        assert sizes == [4, 4, 4, 5, 5, 5, 5, 5, 6]

    def test_no_feedback_leaves_it_as_it_is(self) -> None:
        window = Window(WindowRules(4, 0, positive=Feedback(0.0), negative=Feedback(0.0), failed_cohort_limit=0))
        for _ in range(100):
            window.succeeded(window.size)
            window.failed()
        assert window.size == 4


class TestFailure:
    def test_a_window_full_of_failures_is_death(self) -> None:
        window = Window(WindowRules(5))
        assert [window.failed() for _ in range(4)] == [False, False, False, True]
        window.restart()
        assert window.size == 5, "it begins anew"

    def test_failures_between_successes_only_narrow_the_window(self) -> None:
        window = Window(WindowRules(5))
        for _ in range(20):
            assert not window.failed()
            window.succeeded(window.size)
        assert 1 <= window.size <= 6

    def test_more_cohorts_need_more_failures(self) -> None:
        window = Window(WindowRules(2, 20, 3))
        assert [window.failed() for _ in range(4)] == [False, False, False, True]  # 1/2 + 1 + 1 + 1

    def test_a_cohort_limit_of_zero_is_no_death(self) -> None:
        window = Window(WindowRules(2, 20, 0))
        assert not any(window.failed() for _ in range(1000))
        assert window.size == 1

    def test_gentle_feedback_takes_its_first_step_at_once_and_the_next_after_a_window_full(self) -> None:
        window = Window(WindowRules(10, 20, 100, negative=Feedback(1.0, 1.0)))
        sizes = []
        for _ in range(12):
            window.failed()
            sizes.append(window.size)
        assert sizes[0] == 9 and sizes.count(9) == 9 and sizes[-1] == 8


@given(
    st.lists(st.booleans(), max_size=200),
    st.integers(1, 30),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 40),
)
def test_the_window_stays_within_its_bounds(
    results: list[bool], initial: int, limit: int, amount: float, power: float, busy: int
) -> None:
    initial = min(initial, limit) if limit else initial
    window = Window(WindowRules(initial, limit, 2, Feedback(amount, power), Feedback(amount, power)))
    for success in results:
        before = window.size
        if success:
            window.succeeded(min(busy, window.size))
            assert before <= window.size <= before + 1
        else:
            assert max(1, before - 1) <= window.size <= before if not window.failed() else window.size == before
        assert window.size >= 1 and (not limit or window.size <= limit)


class TestFeedback:
    @pytest.mark.parametrize(
        ("text", "at_16"), [("1", 1.0), ("0.5", 0.5), ("1/concurrency", 1 / 16), ("1 / sqrt_concurrency", 0.25)]
    )
    def test_forms(self, text: str, at_16: float) -> None:
        assert parse_feedback(text).at(16) == at_16

    @pytest.mark.parametrize("text", ["", "x", "-1", "2", "nan", "1/", "1/window", "1/concurrency/2", "1e400"])
    def test_what_is_none_is_said(self, text: str) -> None:
        with pytest.raises(ValueError, match="a number from 0 to 1 was expected"):
            parse_feedback(text)


SERVICES = {name: Service(name, "virtual") for name in ("slow", "smtp", "local")}


class TestRules:
    def test_the_defaults_are_those_of_postfix_but_for_local(self) -> None:
        config = Config({}, SERVICES)
        for name in ("smtp", "local"):
            assert WindowRules.of(config, name) == WindowRules(5, 20, 1, Feedback(1.0), Feedback(1.0))

    def test_any_service_has_its_own(self) -> None:
        config = Config(
            {
                "slow_initial_destination_concurrency": "3",
                "slow_destination_concurrency_limit": "7",
                "slow_destination_concurrency_failed_cohort_limit": "9",
                "slow_destination_concurrency_positive_feedback": "1/concurrency",
                "slow_destination_concurrency_negative_feedback": "0.5/sqrt_concurrency",
            },
            SERVICES,
        )
        assert WindowRules.of(config, "slow") == WindowRules(3, 7, 9, Feedback(1.0, 1.0), Feedback(0.5, 0.5))
        assert WindowRules.of(config, "smtp") == WindowRules()

    def test_a_rate_delay_means_one_at_a_time(self) -> None:
        config = Config({"slow_destination_rate_delay": "2s"}, SERVICES)
        rules = WindowRules.of(config, "slow")
        assert (rules.initial, rules.limit) == (1, 1)
