"""Sequence sets (RFC 9051 sequence-set): which messages a command means, by number or by UID."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

STAR: Final = 2**32
"""Stands for `*`, the highest number in use: above every number that the grammar allows."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as written, each with its lower end first; either end may be `STAR`."""

    ranges: tuple[tuple[int, int], ...]

    def numbers(self, count: int) -> list[int] | None:
        """The sequence numbers in a mailbox of `count` messages, ascending, each once; None when one is beyond it."""
        result: list[int] = []
        for low, high in self._merged(count):
            if not 1 <= low <= high <= count:
                return None
            result.extend(range(low, high + 1))
        return result

    def indexes(self, rank: Callable[[int], int], highest: int) -> list[int]:
        """Positions of the UIDs that the set names, where there are such; others are passed over (UID commands).

        `rank` tells how many messages have a lower UID, `highest` is the UID of the last one, 0 for none.
        """
        result: list[int] = []
        for low, high in self._merged(highest) if highest else ():
            result.extend(range(rank(low), rank(high + 1)))
        return result

    def within(self, count: int) -> list[int]:
        """As `numbers`, but numbers that no message has are passed over."""
        ranges = self._merged(count) if count else []
        return [number for low, high in ranges for number in range(max(low, 1), min(high, count) + 1)]

    @property
    def has_star(self) -> bool:
        """Whether `*` is in it."""
        return any(high == STAR for _, high in self.ranges)

    def each(self) -> Iterator[int]:
        """The numbers one by one, as written."""
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def resolved(self, highest: int) -> list[tuple[int, int]]:
        """The ranges in order, those that overlap joined, `*` being `highest`."""
        return self._merged(highest)

    def _merged(self, highest: int) -> list[tuple[int, int]]:
        """The ranges with `*` resolved, in order, those that overlap joined."""
        ranges = []
        for low, high in self.ranges:
            first, last = (highest if low == STAR else low), (highest if high == STAR else high)
            ranges.append((min(first, last), max(first, last)))
        if len(ranges) == 1:
            return ranges
        ranges.sort()
        merged: list[tuple[int, int]] = []
        for low, high in ranges:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged


SAVED_RESULT: Final = SequenceSet(())
"""`$`: what the last SEARCH with SAVE found (RFC 5182 section 2.1); the session knows what that is."""


def format_set(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as a sequence set: `1:3,7`."""
    runs: list[str] = []
    first = last = -1
    for number in numbers:
        if number == last + 1 and first >= 0:
            last = number
            continue
        if first >= 0:
            runs.append(f"{first}:{last}" if last > first else f"{first}")
        first = last = number
    if first >= 0:
        runs.append(f"{first}:{last}" if last > first else f"{first}")
    return ",".join(runs).encode("ascii")


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Ranges, ascending, as a sequence set."""
    return b",".join(b"%d:%d" % (low, high) if high > low else b"%d" % low for low, high in ranges)
