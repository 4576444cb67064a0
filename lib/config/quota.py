"""How a quota is written: `1G`, `500M 10000C`, `10000000S,1000C`, `none`; and what folders may have beside it.

A number with a unit (K, M, G, T: powers of 1024) or followed by S, or alone, is octets; one followed by C is messages.
The canonical form is that of the first line of a Maildir++ `maildirsize` file: `10000000S,1000C`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pillarbox.lib.config.mapping import BadEntry, Tree

_WORD: Final = re.compile(r"([0-9]{1,15})(?:([KMGT])B?|([SC]))?\Z", re.IGNORECASE)
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_PERCENT: Final = re.compile(r"\+([0-9]{1,6})%\Z")
_NONE: Final = ("none", "unlimited")


class Limits(NamedTuple):
    """The most that a mailbox or domain may hold; 0: no limit."""

    size: int = 0
    """Octets, as the messages are stored."""
    messages: int = 0

    def __bool__(self) -> bool:
        return self.size > 0 or self.messages > 0

    def __str__(self) -> str:
        if not self.messages:
            return f"{self.size}S"
        return f"{self.size}S,{self.messages}C" if self.size else f"{self.messages}C"


NO_LIMITS: Final = Limits()


def parse_limits(text: str) -> Limits:
    """Raises ValueError for what is no quota; "" and `none` are no limit."""
    size = count = 0
    seen: set[str] = set()
    for word in text.replace(",", " ").split():
        if word.lower() in _NONE:
            continue
        match = _WORD.match(word)
        if match is None:
            raise ValueError(f'a quota as "1G", "500M 10000C" or "none" was expected, not "{word}"')
        number, unit, kind = int(match[1]), (match[2] or "").upper(), (match[3] or "S").upper()
        if kind in seen:
            raise ValueError(f'"{text}" names two quotas of the same kind')
        seen.add(kind)
        if kind == "C":
            count = number
        else:
            size = number * _UNITS.get(unit, 1)
    return Limits(size, count)


class FolderRule(NamedTuple):
    """What holds for the folders that a name, or a beginning of names before `*`, means."""

    folder: str
    ignore: bool = False
    """What lies there does not count."""
    percent: int = 0
    """So much more of the quota may be used by what goes there."""
    more: Limits = NO_LIMITS

    def matches(self, folder: str) -> bool:
        """Whether it holds for a mailbox of this name."""
        return folder.startswith(self.folder[:-1]) if self.folder.endswith("*") else folder == self.folder

    def extended(self, limits: Limits) -> Limits:
        """The limits for what goes to such a folder."""
        size = limits.size + limits.size * self.percent // 100 + self.more.size if limits.size else 0
        count = limits.messages + limits.messages * self.percent // 100 + self.more.messages if limits.messages else 0
        return Limits(size, count)


def parse_rule(folder: str, value: str) -> FolderRule:
    """One rule: `ignore`, `+10%`, `+100M`.  Raises ValueError."""
    if not folder or "*" in folder[:-1]:
        raise ValueError('the name of a folder was expected, perhaps with "*" at its end')
    if value == "ignore":
        return FolderRule(folder, ignore=True)
    if match := _PERCENT.match(value):
        return FolderRule(folder, percent=int(match[1]))
    if value.startswith("+") and (more := parse_limits(value[1:])):
        return FolderRule(folder, more=more)
    raise ValueError(f'"ignore", "+10%" or "+100M" was expected, not "{value}"')


def read_rules(entries: Mapping[str, Tree]) -> tuple[FolderRule, ...]:
    """The mapping `quota_rules`.  Raises BadEntry."""
    rules = []
    for folder, value in entries.items():
        if not isinstance(value, str):
            raise BadEntry(folder, '"ignore", "+10%" or "+100M" was expected')
        try:
            rules.append(parse_rule(folder, value))
        except ValueError as error:
            raise BadEntry(folder, str(error)) from None
    return tuple(rules)


def parse_percents(words: Sequence[str]) -> tuple[int, ...]:
    """The levels of `quota_warnings`, ascending.  Raises ValueError."""
    for word in words:
        if not re.fullmatch(r"[0-9]{1,3}%?", word) or not 0 < int(word.rstrip("%")) <= 100:
            raise ValueError(f'percentages from 1 to 100 were expected, not "{word}"')
    return tuple(sorted({int(word.rstrip("%")) for word in words}))
