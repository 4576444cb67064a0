"""The rank of a client in DNS lists: all are asked at once, each domain once, and what matches is added up (RFC 5782).

A list that gives no answer in time adds nothing.  `Ranking.hopeless` and `harmless` say whether the answers that are
still missing could change anything, so that nobody waits for a slow list that does not matter.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

from pillarbox.lib.config.dnsbl import Site
from pillarbox.lib.dns import Absent, Answer, Failed, Outcome, Resolver
from pillarbox.lib.log import log

SILENT_FOR: Final = 60.0
"""Seconds for which a list that did not answer in time is not asked."""

SLOW: Final = 1.0
"""Seconds from which on a failure counts as silence; a quick one costs nobody anything."""

REPLIES_LOGGED: Final = 5
"""Addresses of one answer that the log shows."""


def question(address: str, domain: str) -> str:
    """The name to ask for: `1.2.0.192.bl.example`, for IPv6 by hexadecimal digits (RFC 5782 section 2).

    Raises ValueError for what is no address.
    """
    return f"{ipaddress.ip_address(address).reverse_pointer.rpartition('.')[0].rpartition('.')[0]}.{domain}"


class Silence:
    """The lists that have not answered in time: not every client waits for them, one now and then tries."""

    def __init__(self, clock: Callable[[], float], timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._until: dict[str, float] = {}

    def asks(self, domain: str) -> bool:
        """Whether to ask a list; one client each `SILENT_FOR` seconds finds out whether a silent one still is."""
        until = self._until.get(domain)
        if until is None:
            return True
        if self._clock() < until:
            return False
        self._until[domain] = self._clock() + self._timeout
        return True

    def silent(self, domain: str) -> bool:
        """A list has not answered; whether that is new."""
        new = domain not in self._until
        self._until[domain] = self._clock() + SILENT_FOR
        return new

    def answered(self, domain: str) -> bool:
        """A list has answered; whether it had been silent."""
        return self._until.pop(domain, None) is not None


class Ranking:
    """The look-ups of one client.  `changed` is called after each answer.  Raises ValueError for what is no address."""

    def __init__(
        self,
        resolver: Resolver,
        address: str,
        sites: Sequence[Site],
        timeout: float,
        silence: Silence,
        changed: Callable[[], None],
    ) -> None:
        self.rank = 0
        self.ttl = float("inf")
        """Seconds for which the answers hold; 0 where one is missing."""
        self.worst = ""
        """The domain that has added most."""
        self._address = address
        question(address, "")
        self._most = 0
        self._resolver = resolver
        self._timeout = timeout
        self._silence = silence
        self._changed = changed
        self._open: dict[str, list[Site]] = {}
        for domain in dict.fromkeys(site.listing.domain for site in sites):
            if silence.asks(domain):
                self._open[domain] = [site for site in sites if site.listing.domain == domain]
            else:
                self.ttl = 0
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._ask(domain)) for domain in tuple(self._open)]

    @property
    def complete(self) -> bool:
        """Whether every list has answered or failed."""
        return not self._open

    def hopeless(self, threshold: int) -> bool:
        """Whether the client is bad whatever the missing answers are."""
        return self.rank + sum(weight for weight in self._missing() if weight < 0) >= threshold

    def harmless(self, threshold: int) -> bool:
        """Whether it is not bad whatever they are, and no list of good clients is missing."""
        missing = self._missing()
        return all(weight > 0 for weight in missing) and self.rank + sum(missing) < threshold

    def _missing(self) -> list[int]:
        return [site.weight for sites in self._open.values() for site in sites]

    async def _ask(self, domain: str) -> None:
        name = question(self._address, domain)
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout):
                outcome: Outcome[str] = await self._resolver.a(name)
        except TimeoutError:
            outcome = Failed(name, f"no answer within {self._timeout:g} seconds")
        self._note(domain, outcome, asyncio.get_running_loop().time() - began)
        sites = self._open.pop(domain)
        self._count(domain, sites, outcome)
        self._changed()

    def _note(self, domain: str, outcome: Outcome[str], elapsed: float) -> None:
        """Whether a list is silent: it has kept a client waiting for nothing."""
        if not isinstance(outcome, Failed):
            if self._silence.answered(domain):
                log.info(f"DNS list {domain} answers again")
        elif elapsed >= min(SLOW, self._timeout) and self._silence.silent(domain):
            log.warning(f"DNS list {domain} is silent: until it answers, only now and then a client waits for it")

    def _count(self, domain: str, sites: list[Site], outcome: Outcome[str]) -> None:
        match outcome:
            case Answer(records=records, ttl=ttl):
                self.ttl = min(self.ttl, ttl)
                for reply in records[:REPLIES_LOGGED]:
                    log.info(f"addr {self._address} listed by domain {domain} as {reply}")
                for site in sites:
                    if any(site.listing.counts(reply) for reply in records):
                        self._add(domain, site.weight)
            case Absent(ttl=ttl):
                self.ttl = min(self.ttl, ttl)
            case Failed(detail=detail):
                self.ttl = 0
                log.warning(f"{question(self._address, domain)}: DNSBL lookup error: {detail}")

    def _add(self, domain: str, weight: int) -> None:
        self.rank += weight
        if weight > self._most:
            self._most, self.worst = weight, domain

    def close(self) -> None:
        """Whoever has not answered need not."""
        if self._open:
            self.ttl = 0
        for task in self._tasks:
            task.cancel()
