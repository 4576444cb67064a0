"""Weighted scoring (procmailsc(5)): what a condition `w^x` adds to the score of its recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

INFINITY: Final = 2147483647.0
"""procmail's plus infinity; its negative is minus infinity."""


@dataclass(frozen=True, slots=True)
class Weight:
    """The numbers before a condition: `weight`^`exponent`."""

    weight: float
    exponent: float


def for_matches(weight: Weight, matches: Iterable[bool]) -> float:
    """w for the first match, w*x for the second, w*x*x for the third ...; a False stands for matches without end."""
    total, term = 0.0, weight.weight
    small = abs(weight.exponent) < 1
    for one in matches:
        if not one:
            return total + _endless(term, weight.exponent)
        total += term
        if small and abs(term) < 1:
            break  # what could follow is not counted
        if abs(total) >= INFINITY:
            break
        term *= weight.exponent
    return _bounded(total)


def _endless(term: float, exponent: float) -> float:
    if not term or not exponent:
        return term
    if abs(exponent) < 1:
        return term / (1 - exponent)
    return INFINITY + 1 if term > 0 else -INFINITY - 1


def for_size(weight: Weight, size: int, limit: int, larger: bool) -> float:
    """w*(size/limit)^x where larger mail counts more (`>`), w*(limit/size)^x where smaller does (`<`)."""
    above, below = (size, limit) if larger else (limit, size)
    if not below:
        return INFINITY if weight.weight > 0 else -INFINITY
    try:
        return _bounded(weight.weight * (above / below) ** weight.exponent)
    except (OverflowError, ZeroDivisionError):
        return INFINITY if weight.weight > 0 else -INFINITY


def for_exit_code(weight: Weight, code: int, negated: bool) -> float:
    """w for success and x for failure; negated, the exit code is a number of matches."""
    if negated:
        return for_matches(weight, (True for _ in range(code)))
    return weight.weight if code == 0 else weight.exponent


def _bounded(value: float) -> float:
    return max(-INFINITY - 1, min(INFINITY + 1, value))


def shown(score: float) -> int:
    """The score as `$=` gives it: without its fraction, but what is positive is 1 at least."""
    bounded = max(-INFINITY, min(INFINITY, score))
    return 1 if 0 < bounded < 1 else int(bounded)
