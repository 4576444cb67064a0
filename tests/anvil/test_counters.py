"""Counting, with a clock that stands still until it is moved."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.anvil import counters as module
from pillarbox.anvil.counters import Counters
from pillarbox.anvil.program import Channels, log_statistics
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.log import log


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Counters, Clock]:
    clock = Clock()
    return Counters(60.0, clock), clock


def test_open_connections_and_rate_are_counted_per_service_and_address() -> None:
    counters, _ = make()
    assert counters.connect("smtp", "a") == (1, 1)
    assert counters.connect("smtp", "a") == (2, 2)
    assert counters.connect("smtp", "b") == (1, 1)
    assert counters.connect("submission", "a") == (1, 1)
    counters.disconnect("smtp", "a")
    assert counters.connect("smtp", "a") == (2, 3)


def test_a_rate_begins_anew_after_the_time_unit() -> None:
    counters, clock = make()
    assert [counters.count("smtp", "a", "message") for _ in range(3)] == [1, 2, 3]
    clock.now += 60
    assert counters.count("smtp", "a", "message") == 1


def test_open_connections_outlive_the_time_unit() -> None:
    counters, clock = make()
    counters.connect("smtp", "a")
    clock.now += 600
    counters.forget()
    assert counters.connect("smtp", "a") == (2, 1)


def test_who_has_gone_is_forgotten() -> None:
    counters, clock = make()
    counters.connect("smtp", "a")
    counters.disconnect("smtp", "a")
    counters.disconnect("smtp", "a")
    counters.forget()
    assert len(counters) == 1
    clock.now += 61
    counters.forget()
    assert len(counters) == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 10)
    counters, _ = make()
    for number in range(100):
        counters.count("smtp", str(number), "message")
    assert len(counters) <= 10


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab")), max_size=60))
def test_the_count_is_never_negative_and_always_right(steps: list[tuple[bool, str]]) -> None:
    counters, _ = make()
    model: Counter[str] = Counter()
    for connects, address in steps:
        if connects:
            model[address] += 1
            assert counters.connect("smtp", address)[0] == model[address]
        else:
            model[address] = max(0, model[address] - 1)
            counters.disconnect("smtp", address)


def test_statistics_are_logged_once_in_anvils_words() -> None:
    counters, _ = make()
    counters.connect("smtp", "192.0.2.1")
    with log.capture() as lines:
        log_statistics(counters, lambda when: "Nov 22 03:44:18")
        log_statistics(counters, lambda when: "later")
    assert lines[:2] == [
        "statistics: max connection count 1 for (smtp:192.0.2.1) at Nov 22 03:44:18",
        "statistics: max connection rate 1/60s for (smtp:192.0.2.1) at Nov 22 03:44:18",
    ]
    assert not [line for line in lines[3:] if "max connection" in line]


# --- the service
def ask(channels: Channels, mine: Counter[tuple[str, str]], **members: object) -> dict[str, object]:
    return channels.answer(Attributes({"service": "smtp", "address": "a", **members}), mine)


def test_the_service_answers() -> None:
    channels = Channels(make()[0])
    mine: Counter[tuple[str, str]] = Counter()
    assert ask(channels, mine, do="connect") == {"ok": True, "connections": 1, "rate": 1}
    assert ask(channels, mine, do="count", kind="auth") == {"ok": True, "rate": 1}
    assert ask(channels, mine, do="disconnect") == {"ok": True}
    assert not mine


def test_one_program_cannot_end_the_connections_of_another() -> None:
    channels = Channels(make()[0])
    one: Counter[tuple[str, str]] = Counter()
    ask(channels, one, do="connect")
    ask(channels, Counter(), do="disconnect")
    assert ask(channels, one, do="connect")["connections"] == 2


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"do": "other"},
        {"do": "count"},
        {"do": "count", "kind": "x"},
        {"do": "connect", "address": 5},
        {"do": "connect", "address": "a" * 300},
    ],
)
def test_bad_requests_are_protocol_errors(members: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        ask(Channels(make()[0]), Counter(), **members)


def test_a_rate_can_be_looked_at_without_counting() -> None:
    clock = Clock()
    counters = Counters(60.0, lambda: clock.now)
    assert counters.rate("smtp", "a", "tls") == 0
    counters.count("smtp", "a", "tls")
    assert [counters.rate("smtp", "a", "tls") for _ in range(3)] == [1, 1, 1]
    assert counters.rate("smtp", "b", "tls") == counters.rate("smtp", "a", "auth") == 0
    clock.now += 60
    assert counters.rate("smtp", "a", "tls") == 0


def test_rates_have_the_names_that_anvil_gives_them() -> None:
    counters = Counters(60.0, lambda: 0.0)
    for kind in ("message", "recipient", "auth", "tls"):
        counters.count("smtp", "a", kind)
    counters.connect("smtp", "a")
    with log.capture() as lines:
        log_statistics(counters, lambda when: "Nov 22 03:44:18")
    assert [line.partition(" at ")[0] for line in lines] == [
        "statistics: max message rate 1/60s for (smtp:a)",
        "statistics: max recipient rate 1/60s for (smtp:a)",
        "statistics: max auth rate 1/60s for (smtp:a)",
        "statistics: max newtls rate 1/60s for (smtp:a)",
        "statistics: max connection count 1 for (smtp:a)",
        "statistics: max connection rate 1/60s for (smtp:a)",
        "statistics: max cache size 1",
    ]
