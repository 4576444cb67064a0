"""Retry schedules per destination, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.retry import RetryRule
from pillarbox.lib.queue.listing import AT_ONCE
from pillarbox.qmgr.schedules import GRAIN, Schedules, default_intervals

DAY = 86400.0
MINUTE = 60.0
ARRIVAL = 1_795_319_643.935049

SCHEDULES = Schedules.of(
    Config.for_tests(
        retry='{gmail.com: [5m, 15m, 1h], "*.short.test": [10m, give up after 25m], "*.slow.test": 1d}',
        bounce_queue_lifetime="1d",
    )
)
GMAIL = SCHEDULES.rule("smtp", "gmail.com")
SHORT = SCHEDULES.rule("smtp", "a.short.test")
OTHER = SCHEDULES.rule("smtp", "other.test")

rules = st.builds(
    RetryRule,
    st.just("x"),
    st.lists(st.floats(1, 5000), min_size=1, max_size=6).map(tuple),
    st.none() | st.floats(1, 20000),
)


def attempts(rule: RetryRule, until: float, schedules: Schedules = SCHEDULES) -> list[float]:
    """When a message is tried that is always tried when it is due, in minutes since its arrival."""
    now, found = ARRIVAL, []
    while (now := schedules.next_attempt(rule, ARRIVAL, now)) <= ARRIVAL + until:
        found.append(round((now - ARRIVAL) / MINUTE, 1))
    return found


class TestAttempts:
    def test_the_last_interval_repeats(self) -> None:
        assert attempts(GMAIL, 4 * 3600) == [5, 20, 80, 140, 200]

    def test_the_end_of_the_lifetime_is_an_attempt(self) -> None:
        assert attempts(SHORT, 3600) == [10, 20, 25, 30, 40, 50, 60]

    def test_others_are_tried_as_by_default(self) -> None:
        assert attempts(OTHER, 5 * 3600) == [5, 10, 20, 40, 80, 146.7, 213.3, 280]

    def test_an_attempt_that_was_late_moves_no_point(self) -> None:
        assert SCHEDULES.next_attempt(GMAIL, ARRIVAL, ARRIVAL + 19 * MINUTE) == ARRIVAL + 20 * MINUTE
        assert SCHEDULES.next_attempt(GMAIL, ARRIVAL, ARRIVAL + 21 * MINUTE) == ARRIVAL + 80 * MINUTE

    def test_without_rules_the_interval_counts_from_the_attempt_as_in_postfix(self) -> None:
        plain = Schedules.of(Config.for_tests())
        assert not plain.configured
        assert plain.next_attempt(plain.rule("smtp", "gmail.com"), ARRIVAL, ARRIVAL + 400) == ARRIVAL + 800

    @pytest.mark.parametrize(("minimal", "maximal"), [(0, 0), (0, 10), (300, 10), (300, 300), (1, 5e6)])
    def test_bounds_of_any_kind_give_a_schedule(self, minimal: float, maximal: float) -> None:
        intervals = default_intervals(minimal, maximal)
        assert intervals[0] >= 1 and intervals[-1] == max(minimal, maximal, 1) and len(intervals) < 50

    @given(rules, st.floats(-100, 1e6))
    def test_the_next_attempt_is_always_ahead(self, rule: RetryRule, age: float) -> None:
        now = ARRIVAL + age
        assert SCHEDULES.next_attempt(rule, ARRIVAL, now) > now


class TestDue:
    def due(self, rule: RetryRule, planned: float, now: float) -> bool:
        return SCHEDULES.due(rule, ARRIVAL, ARRIVAL + planned * MINUTE, ARRIVAL + now * MINUTE)

    @pytest.mark.parametrize(
        ("planned", "now", "due"),
        [(5, 5, True), (5, 5.1, True), (10, 10, False), (10, 19.9, False), (10, 20, True), (10, 500, True),
         (20, 20, True), (25, 25.5, False), (80, 80.1, True)],
    )  # fmt: skip
    def test_who_has_a_point_between_plan_and_attempt(self, planned: float, now: float, due: bool) -> None:
        assert self.due(GMAIL, planned, now) is due

    def test_what_a_person_asks_for_is_due(self) -> None:
        now = ARRIVAL + 10 * MINUTE
        assert SCHEDULES.due(GMAIL, ARRIVAL, AT_ONCE, now)  # flushed
        assert SCHEDULES.due(GMAIL, ARRIVAL, ARRIVAL + 20 * MINUTE, now)  # before its time
        assert SCHEDULES.due(GMAIL, ARRIVAL + DAY, now, now)  # before its release

    def test_a_message_that_is_released_begins_there(self) -> None:
        released = ARRIVAL + 7 * MINUTE
        assert SCHEDULES.due(GMAIL, released, released, released + 1)

    @given(st.lists(rules, min_size=1, max_size=4), st.lists(st.floats(0, 3000), min_size=1, max_size=20))
    def test_each_recipient_is_tried_at_its_own_times_whatever_the_others_do(
        self, several: list[RetryRule], late: list[float]
    ) -> None:
        """A message to several destinations, taken up later than planned each time: whoever has had a point since the
        last pass is tried, and nobody else."""
        last, now = ARRIVAL, ARRIVAL
        for delay in late:
            planned = min(SCHEDULES.next_attempt(rule, ARRIVAL, now) for rule in several)
            last, now = now, planned + delay
            tried = [rule for rule in several if SCHEDULES.due(rule, ARRIVAL, planned, now)]
            expected = [rule for rule in several if SCHEDULES.next_attempt(rule, ARRIVAL, last) <= now + GRAIN]
            assert tried and tried == expected

    @given(rules, st.floats(0, 1e6), st.floats(-0.004, 0.004))
    def test_a_time_that_was_rounded_is_the_same_time(self, rule: RetryRule, age: float, error: float) -> None:
        planned = SCHEDULES.next_attempt(rule, ARRIVAL, ARRIVAL + age)
        assert SCHEDULES.due(rule, ARRIVAL, planned + error, planned + abs(error))


class TestExpiry:
    @pytest.mark.parametrize(
        ("rule", "sender", "age", "expired"),
        [
            (GMAIL, "a@b.test", 5 * DAY - 1, False),
            (GMAIL, "a@b.test", 5 * DAY, True),
            (GMAIL, "", DAY, True),
            (SHORT, "a@b.test", 24 * MINUTE, False),
            (SHORT, "a@b.test", 25 * MINUTE, True),
            (SHORT, "", 25 * MINUTE, True),
            (RetryRule("x", (60.0,), 9 * DAY), "a@b.test", 6 * DAY, False),
            (RetryRule("x", (60.0,), 9 * DAY), "", DAY, True),
            (None, "a@b.test", 5 * DAY, True),
        ],
    )
    def test_a_rule_may_have_its_own_lifetime(
        self, rule: RetryRule | None, sender: str, age: float, expired: bool
    ) -> None:
        assert SCHEDULES.expired(rule, sender, ARRIVAL, ARRIVAL + age) is expired
