"""The table of qshape: how many recipients, or senders, of which domain are how old.

What is counted and how the table is set follows Postfix's qshape(1), byte for byte (tests/commands/test_qshape.py holds
it against the original).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pillarbox.commands.options import printable

NULL_SENDER = "MAILER-DAEMON"
TOTAL = "TOTAL"

DOMAIN_WIDTH = 18
"""The column of the domains is at least so wide, whatever the screen is."""

_DOTS = re.compile(r"\.?(.+?)\.?")
_PARENT = re.compile(r"^\.?[^.]+\.(.*\.)")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Intervals of age: `count` of them, the first `first` seconds long, the last without an end."""

    count: int
    first: float
    linear: bool = False

    def of(self, age: float) -> int:
        """The number of the interval, from 1."""
        units = age / self.first
        if units < 1:
            return 1
        number = int(units + 1) if self.linear else 2 + int(math.log(units) / math.log(2))
        return min(number, self.count)

    @property
    def titles(self) -> list[str]:
        """What stands above the columns: the total, then the minutes where each interval ends."""
        step = round(self.first / 60)
        ends: list[int] = []
        for number in range(self.count - 1):
            ends.append(step if not number else ends[-1] + (step if self.linear else ends[-1]))
        return ["T", *map(str, ends), f"{ends[-1] if ends else 0}+"]


class Shape:
    """Counts by domain and interval; position 0 of each row is its total."""

    def __init__(self, buckets: Buckets, *, by_sender: bool = False, parents: bool = False) -> None:
        self.buckets = buckets
        self._by_sender, self._parents = by_sender, parents
        self.rows: dict[str, list[int]] = defaultdict(lambda: [0] * (buckets.count + 1))
        self.subdomains: Counter[str] = Counter()
        self.rows[TOTAL]  # stands above the others also when it is zero

    def add(self, age: float, sender: str, recipients: Sequence[str]) -> None:
        """Count a message of that age in seconds.  One that has no recipient left counts for nobody."""
        if not recipients:
            return
        bucket = self.buckets.of(age)
        for address in (sender,) if self._by_sender else recipients:
            self._count(TOTAL, bucket)
            name = (address.lower() or NULL_SENDER).rpartition("@")[2].replace("..", ".")
            name = match[1] if (match := _DOTS.fullmatch(name)) else name
            new = False
            while True:
                self._count(name, bucket)
                if new:
                    self.subdomains[name] += 1
                new = self.rows[name][0] == 1
                parent = _PARENT.sub(r".\1", name) if self._parents else name
                if parent == name:
                    break
                name = parent

    def _count(self, name: str, bucket: int) -> None:
        row = self.rows[name]
        row[0] += 1
        row[bucket] += 1


def table(shape: Shape, width: int = 80, least_subdomains: int = 5, top: int = 0) -> Iterator[str]:
    """The lines; `top` rows at most, 0 for all."""
    titles = shape.buckets.titles
    columns = []
    for number, title in enumerate(titles):
        longest = max(len(title), len(str(shape.rows[TOTAL][number])))
        columns.append(longest + 1 if longest > 2 else 3)
    domain_width = max(DOMAIN_WIDTH, max(width, 80) - sum(columns))
    yield _row("", titles, columns, domain_width)
    shown = 0
    for name, counts in sorted(shape.rows.items(), key=lambda item: (-item[1][0], len(item[0]))):
        if name.startswith(".") and shape.subdomains[name] < least_subdomains:
            continue
        if top and shown == top:
            return
        shown += 1
        yield _row(printable(name), [str(count) for count in counts], columns, domain_width)


def _row(name: str, cells: Sequence[str], columns: Sequence[int], width: int) -> str:
    if len(name) > width:
        begin = ".+" if name.startswith(".") else "+"
        name = begin + name[len(name) - width + len(begin) :]
    return name.rjust(width) + "".join(cell.rjust(column) for cell, column in zip(cells, columns, strict=True))
