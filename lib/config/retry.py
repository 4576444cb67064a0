"""The parameter `retry`: when mail to which destination is tried again, and for how long.

    retry:
      gmail.com: [5m, 15m, 1h]                      # a next-hop domain; the last interval repeats
      "*.example.com": [30m, give up after 2d]      # its subdomains
      "mx:google.com": [10m, 30m]                   # all destinations whose mail exchangers are this site's
      relay: 15m                                    # a transport: a service of master.yaml

A name without a dot is a transport.  Of several that match, the most precise holds: the domain, the wildcard with the
most labels, the site, the transport.  What none matches is tried as minimal_backoff_time and its kin say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pillarbox.lib.config.mapping import BadEntry, Tree
from pillarbox.lib.config.parameter import parse_seconds

SITE = "mx:"
SHORTEST = 1.0
"""Seconds; a shorter interval would be a loop."""

INTERVALS_LIMIT = 100

_GIVE_UP = re.compile(r"give up(?: after)? (.+)")
_TRANSPORT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_DOMAIN = re.compile(r"\[[^\[\]\s]{1,255}\](?::[0-9]{1,5})?|[^\s\[\]*:]{1,255}(?::[0-9]{1,5})?")

_TIMES = 'times such as "5m" were expected, at last perhaps "give up after 2d"'


@dataclass(frozen=True, slots=True)
class RetryRule:
    """Seconds between attempts, of which the last repeats; `lifetime` is the age at which mail goes back to its
    sender, None: as the parameters say."""

    name: str
    intervals: tuple[float, ...]
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class RetryRules:
    """The rules by what they match; `wildcards` begin with a dot."""

    domains: Mapping[str, RetryRule] = field(default_factory=dict)
    wildcards: Mapping[str, RetryRule] = field(default_factory=dict)
    sites: Mapping[str, RetryRule] = field(default_factory=dict)
    transports: Mapping[str, RetryRule] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.domains or self.wildcards or self.sites or self.transports)

    def rule(self, transport: str, nexthop: str, site: str = "") -> RetryRule | None:
        """The rule for a destination; None where none matches."""
        name = nexthop.lower().removesuffix(".")
        found = self.domains.get(name)
        if found is None and self.wildcards:
            found = next((self.wildcards[each] for each in _parents(name) if each in self.wildcards), None)
        if found is None and site:
            found = self.sites.get(site.lower())
        return found or self.transports.get(transport)


def _parents(name: str) -> Iterator[str]:
    """`.b.c`, `.c` of `a.b.c`; the longest first."""
    position = name.find(".")
    while position >= 0:
        yield name[position:]
        position = name.find(".", position + 1)


def read_rules(entries: dict[str, Tree]) -> RetryRules:
    """Raises BadEntry."""
    domains: dict[str, RetryRule] = {}
    wildcards: dict[str, RetryRule] = {}
    sites: dict[str, RetryRule] = {}
    transports: dict[str, RetryRule] = {}
    for name, value in entries.items():
        rule = _rule(name, value)
        key = name.lower().removesuffix(".")
        if key.startswith(SITE) and len(key) > len(SITE):
            sites[key.removeprefix(SITE)] = rule
        elif key.startswith("*.") and _DOMAIN.fullmatch(key[2:]):
            wildcards[key[1:]] = rule
        elif ("." in key or key.startswith("[")) and _DOMAIN.fullmatch(key):
            domains[key] = rule
        elif _TRANSPORT.fullmatch(name):
            transports[name] = rule
        else:
            raise BadEntry(name, 'a domain, "*.domain", "mx:site" or a transport was expected as name')
    return RetryRules(domains, wildcards, sites, transports)


def _rule(name: str, value: Tree) -> RetryRule:
    if isinstance(value, dict):
        raise BadEntry(name, _TIMES)
    items = value if isinstance(value, tuple) else tuple(value.split(","))
    if not all(isinstance(item, str) for item in items):
        raise BadEntry(name, _TIMES)
    texts = [str(item).strip() for item in items]
    lifetime = None
    try:
        if texts and (match := _GIVE_UP.fullmatch(texts[-1])):
            lifetime = parse_seconds(match[1])
            del texts[-1]
        intervals = tuple(parse_seconds(text) for text in texts)
    except ValueError:
        raise BadEntry(name, _TIMES) from None
    if not 0 < len(intervals) <= INTERVALS_LIMIT:
        raise BadEntry(name, _TIMES)
    if min(intervals) < SHORTEST:
        raise BadEntry(name, "an interval is at least 1s")
    return RetryRule(name, intervals, lifetime)
