"""The parameters `source_addresses` and `warm_up`: from which addresses mail leaves, and how much from a new one.

    source_addresses:
      - 192.0.2.5 out1.example.com                    # an address, and the name for EHLO that belongs to it
      - 192.0.2.6 2001:db8::6 out2.example.com        # one address of each family
    warm_up:
      192.0.2.6: {since: 2026-11-01, per_day: [50, 100, 500, 1000, 5000]}

A source is named by its first address.  `warm_up` may name it by any of its addresses.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from dataclasses import dataclass

from pillarbox.lib.config.mapping import BadEntry, Tree
from pillarbox.lib.config.parameter import Raw

DAYS_LIMIT = 366
LARGEST = 10**9

_HELO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?")
_EXPECTED = (
    'IP addresses, at most one of each family, and perhaps a host name were expected: "192.0.2.5 out.example.com"'
)


@dataclass(frozen=True, slots=True)
class Source:
    """One member of a pool: its addresses in canonical form, and the name in EHLO, "" for smtp_helo_name."""

    addresses: tuple[str, ...]
    helo: str = ""

    @property
    def name(self) -> str:
        """What it is called in logs and counts."""
        return self.addresses[0]


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The most recipients of one destination (site) for each day since `since` (UTC); afterwards any number."""

    since: datetime.date
    per_day: tuple[int, ...]

    def limit(self, today: datetime.date) -> int | None:
        """The limit of a day, None for none; before the first day it is 0."""
        day = (today - self.since).days
        if day < 0:
            return 0
        return self.per_day[day] if day < len(self.per_day) else None


def parse_sources(raw: Raw) -> tuple[Source, ...]:
    """Raises ValueError, said for a person."""
    items = raw if isinstance(raw, tuple) else tuple(item for item in raw.split(",") if item.strip())
    sources: list[Source] = []
    seen: set[str] = set()
    for item in items:
        source = _source(item)
        for address in source.addresses:
            if address in seen:
                raise ValueError(f"{address} stands here twice")
            seen.add(address)
        sources.append(source)
    return tuple(sources)


def _source(text: str) -> Source:
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    helo = ""
    for word in text.split():
        address = _address(word)
        if address is not None and not helo:
            addresses.append(address)
        elif not helo and addresses and _HELO.fullmatch(word):
            helo = word
        else:
            raise ValueError(f'{_EXPECTED}, not "{text}"')
    if not addresses or len({each.version for each in addresses}) != len(addresses):
        raise ValueError(f'{_EXPECTED}, not "{text}"')
    return Source(tuple(map(str, addresses)), helo)


def _address(word: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(word)
    except ValueError:
        return None


def read_warm_up(entries: dict[str, Tree]) -> dict[str, WarmUp]:
    """Limits by address, in canonical form.  Raises BadEntry."""
    found: dict[str, WarmUp] = {}
    for name, value in entries.items():
        address = _address(name)
        if address is None:
            raise BadEntry(name, "an IP address was expected as name")
        if not isinstance(value, dict) or set(value) != {"since", "per_day"}:
            raise BadEntry(name, '"{since: 2026-11-01, per_day: [50, 100, 500]}" was expected')
        found[str(address)] = WarmUp(_date(name, value["since"]), _counts(name, value["per_day"]))
    return found


def _date(name: str, value: Tree) -> datetime.date:
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return datetime.date.fromisoformat(value)
    except ValueError:
        pass
    raise BadEntry(name, "since: a day such as 2026-11-01 was expected")


def _counts(name: str, value: Tree) -> tuple[int, ...]:
    items = value if isinstance(value, tuple) else (value,)
    if not 0 < len(items) <= DAYS_LIMIT or not all(
        isinstance(item, str) and re.fullmatch(r"\d{1,10}", item) and int(item) <= LARGEST for item in items
    ):
        raise BadEntry(name, f"per_day: 1 to {DAYS_LIMIT} whole numbers were expected")
    return tuple(int(str(item)) for item in items)
