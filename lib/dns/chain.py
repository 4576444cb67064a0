"""The chain of trust: from an anchor down to the keys of a zone, or to the place where it ends by design.

Each step from a name to the name below asks for DS records: some, signed, lead into a signed zone; a proof that there
are none at a delegation ends the chain (what is below is unsigned, and nobody can tell it from a forgery); a proof
that there is no delegation leaves the zone as it is (RFC 4035 sections 4.2 and 5).  Steps are remembered, in bounded
memory, for as long as their records say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import dns.dnssec
import dns.message
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.rrset

from pillarbox.lib.dns.denial import Proof
from pillarbox.lib.dns.evidence import Evidence
from pillarbox.lib.dns.signatures import Bogus, Budget, Zone, entrusted_keys, usable_ds, verify
from pillarbox.lib.dns.types import Clock

STEPS_LIMIT = 4000
"""Steps remembered; a zone's keys take a kilobyte or two."""

KEYS_LIMIT = 8192
"""Octets of a zone's keys; the root has some twelve hundred while it changes them."""

STEP_TTL = 3600.0
"""Seconds for which a step is believed at most."""

BOGUS_TTL = 5.0
"""Seconds for which a failed step is remembered, so that a broken zone is not validated for each message."""

Ask: TypeAlias = Callable[[dns.name.Name, int], Awaitable[dns.message.Message]]
"""A question to a resolver; raises Unreachable."""


@dataclass(frozen=True)
class NoCut:
    """No zone begins at a name."""


@dataclass(frozen=True)
class Unsigned:
    """An unsigned zone begins at a name."""


Step: TypeAlias = Zone | NoCut | Unsigned | Bogus


class Chain:
    """Finds zones' keys.  `now` is the time of day, to which signatures are held; `clock` is for the memory."""

    def __init__(self, ask: Ask, anchors: Mapping[str, tuple[Any, ...]], clock: Clock, now: Clock = time.time) -> None:
        self._ask = ask
        self._anchors = {dns.name.from_text(name): records for name, records in anchors.items()}
        self._clock = clock
        self.now = now
        self._steps: dict[dns.name.Name, tuple[float, Step]] = {}
        self._running: dict[dns.name.Name, asyncio.Task[Step]] = {}

    async def zone_of(self, name: dns.name.Name) -> Zone | None:
        """The signed zone that holds `name` (as an apex or inside), None where that is unsigned.

        Raises Bogus, Unreachable.
        """
        start = name
        while start not in self._anchors:
            if start == dns.name.root:
                return None
            start = start.parent()
        step = await self._step(start, None)
        zone = step if isinstance(step, Zone) else None
        for depth in range(len(start) + 1, len(name) + 1):
            assert zone is not None
            step = await self._step(name.split(depth)[1], zone)
            if isinstance(step, Unsigned):
                return None
            if isinstance(step, Zone):
                zone = step
        return zone

    async def _step(self, name: dns.name.Name, above: Zone | None) -> Step:
        known = self._steps.get(name)
        if known is not None and known[0] > self._clock():
            step = known[1]
        else:
            task = self._running.get(name)
            if task is None:
                task = asyncio.ensure_future(self._find(name, above))
                self._running[name] = task
                task.add_done_callback(lambda _: self._running.pop(name, None))
            step = await asyncio.shield(task)
        if isinstance(step, Bogus):
            raise Bogus(*step.args)
        return step

    async def _find(self, name: dns.name.Name, above: Zone | None) -> Step:
        step: Step
        try:
            step, ttl = await (self._enter(name, self._anchors[name]) if above is None else self._cut(name, above))
        except Bogus as error:
            step, ttl = error, BOGUS_TTL
        self._steps.pop(name, None)
        while len(self._steps) >= STEPS_LIMIT:
            del self._steps[next(iter(self._steps))]
        self._steps[name] = (self._clock() + min(ttl, STEP_TTL), step)
        return step

    async def _enter(self, name: dns.name.Name, vouchers: Any) -> tuple[Step, float]:
        """A zone's keys, of which one at least is vouched for and has signed all (RFC 4035 section 5.2)."""
        message = await self._ask(name, dns.rdatatype.DNSKEY)
        evidence = Evidence(message)
        keys = evidence.answer(name, dns.rdatatype.DNSKEY)
        if keys is None:
            raise Bogus(f"the zone {name} shows no keys (does the resolver pass DNSSEC records on?)")
        trusted = entrusted_keys(name, keys, vouchers)
        if not trusted:
            raise Bogus(f"no key of the zone {name} is the one that is vouched for")
        signed = verify(keys, evidence.signatures(keys), Zone(name, trusted), self.now(), Budget())
        return Zone(name, _some(keys)), signed.ttl

    async def _cut(self, name: dns.name.Name, above: Zone) -> tuple[Step, float]:
        message = await self._ask(name, dns.rdatatype.DS)
        evidence, budget = Evidence(message), Budget()
        records = evidence.answer(name, dns.rdatatype.DS)
        if records is not None:
            signed = verify(records, evidence.signatures(records), above, self.now(), budget)
            usable = usable_ds(records)
            if not usable:
                return Unsigned(), signed.ttl
            step, ttl = await self._enter(name, usable)
            return step, min(ttl, signed.ttl)
        alias = evidence.answer(name, dns.rdatatype.CNAME)
        if alias is not None:  # an alias is no delegation
            return NoCut(), verify(alias, evidence.signatures(alias), above, self.now(), budget).ttl
        denial, ttl = evidence.denial(above, self.now(), budget)
        if denial is None:
            return Unsigned(), ttl
        proof = denial.absent(name, dns.rdatatype.DS)
        if proof is Proof.UNSIGNED or (proof is Proof.NO_DATA and denial.delegates(name)):
            return Unsigned(), ttl
        return NoCut(), ttl


def _some(keys: dns.rrset.RRset) -> dns.rdataset.Rdataset:
    """The keys of a zone that are remembered: all, unless somebody wants to see how much that can be."""
    found = dns.rdataset.Rdataset(keys.rdclass, keys.rdtype)
    found.update_ttl(keys.ttl)
    octets = 0
    for key in keys:
        octets += len(key.key)
        if octets <= KEYS_LIMIT:
            found.add(key)
    return found
