"""DNS blocklists as a restriction names them: `bl.example`, or `bl.example=127.0.0.[2..11]` (postconf(5)).

Behind the equals sign stand the answers that count: four numbers with dots between them, or in place of a number a
set in brackets, `[2;4;8..11]`.  Without it every answer counts that is an address of 127.0.0.0/8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_PART = re.compile(r"[0-9]{1,3}|\[[0-9.;]+\]")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list, and which of its answers count.  `numbers` has for each of the four places the allowed numbers; () means
    every answer in 127.0.0.0/8."""

    domain: str
    numbers: tuple[frozenset[int], ...] = ()

    def counts(self, address: str) -> bool:
        """Whether an IPv4 address in an answer means "listed"."""
        places = address.split(".")
        if not self.numbers:
            return places[0] == "127"
        return all(int(place) in allowed for place, allowed in zip(places, self.numbers, strict=True))


def parse_listing(text: str) -> Listing:
    """Raises ValueError, said for a person."""
    domain, equals, pattern = text.partition("=")
    if not _DOMAIN.fullmatch(domain) or ".." in domain:
        raise ValueError(f'the domain of a DNS list was expected, not "{domain}"')
    if not equals:
        return Listing(domain)
    parts = _split(pattern)
    if len(parts) != 4 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f'an address such as 127.0.0.2 or 127.0.0.[2..11] was expected behind "=", not "{pattern}"')
    return Listing(domain, tuple(_numbers(part, pattern) for part in parts))


def _split(pattern: str) -> list[str]:
    """At the dots outside brackets."""
    parts, depth, current = [], 0, ""
    for character in pattern:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "." and not depth:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def _numbers(part: str, pattern: str) -> frozenset[int]:
    found: set[int] = set()
    for item in part.strip("[]").split(";"):
        first, dots, last = item.partition("..")
        if not first.isdigit() or (dots and not last.isdigit()):
            raise ValueError(f'numbers such as [2;4;8..11] were expected in "{pattern}"')
        low, high = int(first), int(last or first)
        if low > high or high > 255:
            raise ValueError(f'numbers from 0 to 255, the smaller one first, were expected in "{pattern}"')
        found.update(range(low, high + 1))
    return frozenset(found)
