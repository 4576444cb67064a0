"""A bound on the processor time that expressions may take: a hostile text and a careless expression can take for ever.

The kernel's timer for this process's own processor time interrupts the matching (Python's expressions look for signals
while they search), so a busy machine makes nobody late.  Only one thread may use it, the main one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTime(Exception):
    """The time of this message is used up."""


class Budget:
    """The processor time of one message, in seconds; 0 = no limit."""

    __slots__ = ("left", "limited")

    def __init__(self, seconds: float) -> None:
        self.limited = seconds > 0
        self.left = seconds


_armed = False


def _expired(_number: int, _frame: FrameType | None) -> None:
    if _armed:
        raise OutOfTime


def install() -> None:
    """Once per process, in its main thread, before `limited` is used."""
    signal.signal(signal.SIGVTALRM, _expired)


@contextmanager
def limited(budget: Budget) -> Iterator[None]:
    """Run the block within what is left of the budget.  Raises OutOfTime."""
    global _armed
    if not budget.limited:
        yield
        return
    if budget.left <= 0:
        raise OutOfTime
    signal.setitimer(signal.ITIMER_VIRTUAL, budget.left)
    _armed = True
    try:
        yield
    except OutOfTime:
        budget.left = 0
        raise
    finally:
        _armed = False
        left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        budget.left = min(budget.left, left)
