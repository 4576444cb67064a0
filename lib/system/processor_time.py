"""A bound on the processor time that expressions may take: a hostile text and a careless expression can take for ever.

The kernel's timer for this process's own processor time interrupts the matching (Python's expressions look for signals
while they search), so a busy machine makes nobody late.  Signals reach the main thread only: other threads hand what
they want to have bounded to it (`hand_over`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

AGAIN = 0.05
"""Seconds between further signals, until the block ends: an exception in a finalizer is lost."""

T = TypeVar("T")


class OutOfTime(Exception):
    """The processor time that was allowed is used up."""


class TookTooLong(Exception):
    """A piece of work needed more processor time than it may take."""


class NotMainThread(Exception):
    """A thread other than the main one asked for a bound, and nobody takes its work."""


class Budget:
    """An amount of processor time, in seconds; 0 = no limit."""

    __slots__ = ("left", "limited")

    def __init__(self, seconds: float) -> None:
        self.limited = seconds > 0
        self.left = seconds


_armed = False
_main: Callable[[Callable[[], object]], object] | None = None


def _expired(_number: int, _frame: FrameType | None) -> None:
    if _armed:
        raise OutOfTime


def install() -> None:
    """Take the signal; `limited` does it where nobody did it before.  In the main thread only."""
    signal.signal(signal.SIGVTALRM, _expired)


@contextmanager
def limited(budget: Budget) -> Iterator[None]:
    """Run the block within what is left of the budget, in the main thread.  Raises OutOfTime.

    Within another such block the outer budget holds, and this one is not touched.
    """
    global _armed
    if not budget.limited or _armed:
        yield
        return
    if budget.left <= 0:
        raise OutOfTime
    if signal.getsignal(signal.SIGVTALRM) is not _expired:
        install()
    _armed = True
    try:
        # The signal may come at any instruction, behind the block too: then it is late for the work, not for us.
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, budget.left, AGAIN)
            yield
        finally:
            _armed = False
            left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            budget.left = min(budget.left, left)
    except OutOfTime:
        _armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        budget.left = 0
        raise


def hand_over(runner: Callable[[Callable[[], object]], object] | None) -> None:
    """Say who runs the work of other threads in the main one: it is given a function, and gives back its result."""
    global _main
    _main = runner


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, for which it has so many seconds of processor time.

    Raises TookTooLong; OutOfTime where the bound around it is reached first (`limited`); NotMainThread.
    """
    if threading.current_thread() is not threading.main_thread():
        if _main is None:
            raise NotMainThread
        return _main(lambda: within(seconds, work))  # type: ignore[return-value]
    if _armed:
        return work()
    try:
        with limited(Budget(seconds)):
            return work()
    except OutOfTime:
        raise TookTooLong from None
