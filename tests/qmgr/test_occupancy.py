"""What `occupancy.py` promises, for every sequence of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.qmgr.occupancy import KNOWN_TIME, STRANGER_TIME, Occupancy

steps = st.lists(st.tuples(st.sampled_from(["begin", "end", "wait"]), st.booleans(), st.integers(0, 50)), max_size=200)


@given(steps, st.integers(1, 5), st.integers(0, 8))
def test_no_kind_gets_more_than_its_places(events: list[tuple[str, bool, int]], capacity: int, waiting: int) -> None:
    occupancy = Occupancy(capacity, waiting)
    now, tag, under_way = 0.0, 0, set()
    for event, known, number in events:
        if event == "wait":
            now += number / 25
            occupancy.age(now)
        elif event == "begin" and occupancy.free(known) > 0:
            tag += 1
            occupancy.begin(tag, known, now)
            under_way.add(tag)
        elif event == "end" and under_way:
            ended = sorted(under_way)[number % len(under_way)]
            occupancy.end(ended)
            under_way.remove(ended)
        assert len(occupancy) == len(under_way)
        assert len(under_way) <= (2 * capacity + waiting if waiting else capacity)
        assert occupancy.free(True) >= 0
    for ended in under_way:
        occupancy.end(ended)
    assert len(occupancy) == 0
    assert occupancy.free(True) == capacity
    assert occupancy.free(False) == (min(capacity, waiting) if waiting else capacity)


def test_a_stranger_that_does_not_answer_gives_its_place_back_and_a_known_one_later() -> None:
    occupancy = Occupancy(1, 10)
    occupancy.begin(1, known=False, now=0.0)
    occupancy.begin(2, known=True, now=0.0)
    assert (occupancy.free(False), occupancy.free(True)) == (0, 0)
    assert occupancy.age(STRANGER_TIME) == []
    assert (occupancy.free(False), occupancy.free(True)) == (1, 0)
    assert occupancy.next_change() == KNOWN_TIME
    assert occupancy.age(KNOWN_TIME) == [2]
    assert (occupancy.free(False), occupancy.free(True)) == (1, 1)
    assert occupancy.next_change() is None


def test_the_waiting_take_the_last_places_of_strangers_but_never_of_known_ones() -> None:
    occupancy = Occupancy(2, 3)
    now = 0.0
    for tag in range(100):
        now += STRANGER_TIME
        occupancy.age(now)
        if occupancy.free(False) > 0:
            occupancy.begin(tag, known=False, now=now)
    assert len(occupancy) == 3
    assert occupancy.free(False) == 0
    assert occupancy.free(True) == 2


def test_what_has_ended_is_not_kept_while_something_waits_for_long() -> None:
    occupancy = Occupancy(2, 1)
    occupancy.begin(-1, known=False, now=0.0)
    occupancy.begin(0, known=True, now=0.0)
    for tag in range(1, 10_000):
        occupancy.begin(tag, known=True, now=0.0)
        occupancy.end(tag)
    assert sum(map(len, occupancy._aging.values())) < 1000
