"""Comparators (RFC 4790): when two strings are equal, which comes first, whether one is within the other.

`fold` keeps the number of characters, so that what a wildcard stood for can be cut from the string itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_DIGITS = re.compile("[0-9]+")


def fold_ascii(text: str) -> str:
    """A to Z in lower case, everything else as it is."""
    if text.isascii():
        return text.lower()
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def numeric(text: str) -> int | None:
    """The number that the digits at the beginning make; None without one: beyond all numbers (RFC 4790 section 9.1)."""
    match = _DIGITS.match(text)
    # What is longer than any number that mail counts is cut: reading it takes time that grows with its square.
    return int(match[0][:1000]) if match else None


def _number(text: str) -> str:
    number = numeric(text)
    return "" if number is None else str(number)


@dataclass(frozen=True, slots=True)
class Comparator:
    """One comparator, by name; `substrings`: whether it can look inside of strings.

    `fold`: gives the string that is the same for all strings which are equal.
    """

    name: str
    fold: Callable[[str], str]
    substrings: bool = True

    @property
    def ignores_case(self) -> bool:
        return self.name == "i;ascii-casemap"

    def order(self, left: str, right: str) -> int:
        """Below, equal or above 0, as left is before, equal to, or behind right."""
        if self.name == "i;ascii-numeric":
            first, second = numeric(left), numeric(right)
            if first is None or second is None:
                return (first is None) - (second is None)
            return (first > second) - (first < second)
        one, other = self.fold(left), self.fold(right)
        return (one > other) - (one < other)  # code points are in the order of their octets in UTF-8


CASEMAP: Final = Comparator("i;ascii-casemap", fold_ascii)
"""The comparator where a script names none (RFC 5228 section 2.7.3)."""

COMPARATORS: Final = {
    each.name: each
    for each in (CASEMAP, Comparator("i;octet", str), Comparator("i;ascii-numeric", _number, substrings=False))
}
"""Those that scripts may name; the first two without `require`."""
