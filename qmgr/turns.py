"""Whose turn it is, where mail to few and mail to many want the same: an agent, or a place at a destination.

Two lines.  In `fresh` stands, in order of arrival, what has had few deliveries yet; in `bulk` the rest, each in turn.
While both are there, each turn of bulk earns a credit (up to `loan` times `cost`, which is there at the beginning) and
each turn of fresh costs `cost` of them.  This replaces the delivery slots of Postfix.  What holds
(tests/qmgr/test_turns.py):

    fresh      the n-th in the line has its turn among the next n * (cost + 1) turns, however much bulk waits
    bulk       of any n turns at most (n / (cost + 1)) + loan + 1 go to fresh while bulk waits
    each bulk  among b bulk ones each has its turn within b turns of bulk

What is no longer there when its turn comes is dropped by the caller.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """The two lines.  Take from the front of `line()`, then say `served`."""

    __slots__ = ("_ceiling", "_cost", "_credit", "bulk", "fresh")

    def __init__(self, cost: int, loan: int) -> None:
        self._cost = cost
        self._credit = loan * cost
        self._ceiling = max(1, loan) * cost
        self.fresh: deque[T] = deque()
        self.bulk: deque[T] = deque()

    def __bool__(self) -> bool:
        return bool(self.fresh or self.bulk)

    def line(self) -> deque[T]:
        """The line whose turn it is; empty where both are."""
        if self.fresh and (not self.bulk or self._credit >= self._cost):
            return self.fresh
        return self.bulk

    def served(self, line: deque[T]) -> None:
        """One of this line, which has been taken out of it, has had its turn."""
        if line is self.bulk:
            if self._credit < self._ceiling:
                self._credit += 1
        elif self.bulk:
            self._credit -= self._cost
