"""The bound on processor time: it ends what would not end, and nothing else."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator

import pytest

from pillarbox.lib.system.processor_time import (
    Budget,
    NotMainThread,
    OutOfTime,
    TookTooLong,
    hand_over,
    limited,
    within,
)


@pytest.fixture(autouse=True)
def handler_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGVTALRM)
    yield
    signal.signal(signal.SIGVTALRM, before)
    hand_over(None)


def endless() -> object:
    return re.search("^(a+)+$", "a" * 60 + "b")


def test_what_never_ends_is_ended() -> None:
    with pytest.raises(TookTooLong):
        within(0.05, endless)
    with pytest.raises(TookTooLong):  # and once more: nothing is left over from the first time
        within(0.05, endless)


def test_what_ends_gives_its_result() -> None:
    assert within(5, lambda: 7) == 7
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_budget_is_shared_by_blocks_and_then_used_up() -> None:
    budget = Budget(0.05)
    with limited(budget):
        pass
    with pytest.raises(OutOfTime), limited(budget):
        endless()
    with pytest.raises(OutOfTime), limited(budget):
        pytest.fail("the block must not be begun")


def test_no_limit_sets_no_timer() -> None:
    with limited(Budget(0)):
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_the_outer_bound_is_the_one_that_holds() -> None:
    outer = Budget(0.05)
    with pytest.raises(OutOfTime), limited(outer):
        within(1000, endless)
    assert outer.left == 0


def in_thread() -> list[BaseException]:
    found: list[BaseException] = []

    def run() -> None:
        try:
            within(0.05, endless)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


def test_a_thread_cannot_bound_its_work_by_itself() -> None:
    (error,) = in_thread()
    assert isinstance(error, NotMainThread)


def test_a_thread_hands_its_work_over() -> None:
    taken: list[object] = []
    hand_over(lambda work: taken.append(work))
    assert in_thread() == []
    with pytest.raises(TookTooLong):
        taken[0]()  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_is_lost_in_a_finalizer_comes_again() -> None:
    class Slow:
        def __del__(self) -> None:
            re.search("^(a+)+$", "a" * 60 + "b")  # ended by the first signal, whose exception Python drops here

    def work() -> None:
        Slow()
        endless()

    with pytest.raises(TookTooLong):
        within(0.05, work)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
