"""A resolver that validates what it is told (RFC 4035): `authenticated` then means proven, whoever the servers are.

    match await resolver.tlsa("_25._tcp.mx.example.org"):
        case Answer(authenticated=True): ...     # signed, with a chain of trust from an anchor
        case Absent(authenticated=True): ...     # proven not to exist
        case Answer() | Absent(): ...            # the zone is unsigned, and it is proven that it is
        case Failed(): ...                       # not to be had, or bogus: should be signed and is not

It asks more questions than the plain resolver (keys and delegations, which it remembers), so it is for those look-ups
that need it.  One look-up takes `LOOKUP_SECONDS` at most.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from pillarbox.lib.dns.chain import Chain
from pillarbox.lib.dns.codec import encode_question
from pillarbox.lib.dns.denial import Proof
from pillarbox.lib.dns.endpoint import Unreachable
from pillarbox.lib.dns.evidence import Evidence
from pillarbox.lib.dns.hosts import Hosts
from pillarbox.lib.dns.names import BadName, encode_name
from pillarbox.lib.dns.resolver import CHAIN_LIMIT, Resolver
from pillarbox.lib.dns.servers import Server
from pillarbox.lib.dns.signatures import Bogus, Budget, verify
from pillarbox.lib.dns.types import (
    MX,
    TLSA,
    Absent,
    Answer,
    Clock,
    Failed,
    Outcome,
    RandomBits,
    RecordType,
)

LOOKUP_SECONDS = 45.0
"""The time for one look-up with everything that has to be asked to prove it."""

RECORDS_LIMIT = 100
"""Records of one set that are taken over."""


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True) if name != dns.name.root else ""


VALUES: dict[int, Callable[[Any], object]] = {
    RecordType.A: lambda record: record.address,
    RecordType.AAAA: lambda record: record.address,
    RecordType.MX: lambda record: MX(record.preference, _text(record.exchange)),
    RecordType.TXT: lambda record: b"".join(record.strings),
    RecordType.PTR: lambda record: _text(record.target),
    RecordType.CNAME: lambda record: _text(record.target),
    RecordType.NS: lambda record: _text(record.target),
    RecordType.TLSA: lambda record: TLSA(record.usage, record.selector, record.mtype, bytes(record.cert)),
}


class ValidatingResolver(Resolver):
    """Asks the same questions as `Resolver`, and believes signatures only.

    `anchors` are DS or DNSKEY records by zone (`anchors.parse_anchors`); `now` is the time of day.
    """

    _may_do_without_edns = False  # there would be no signatures

    def __init__(
        self,
        servers: Sequence[Server],
        anchors: Mapping[str, tuple[Any, ...]],
        *,
        timeout: float = 5.0,
        attempts: int = 2,
        cache_size: int = 10000,
        hosts: Hosts | None = None,
        clock: Clock = time.monotonic,
        now: Clock = time.time,
        random_bits: RandomBits = secrets.randbits,
    ) -> None:
        super().__init__(
            servers,
            timeout=timeout,
            attempts=attempts,
            cache_size=cache_size,
            hosts=hosts,
            clock=clock,
            random_bits=random_bits,
        )
        self._chain = Chain(self._message, anchors, clock, now)

    async def _message(self, name: dns.name.Name, kind: int) -> dns.message.Message:
        response = await self.ask(encode_question(_text(name), kind))
        try:
            return dns.message.from_wire(response.message, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError) as error:
            raise Unreachable(f"malformed answer: {error}") from None

    async def _follow(self, name: str, record_type: int) -> Outcome[object]:
        if name == "localhost" or name.endswith(".localhost"):
            return await super()._follow(name, record_type)
        try:
            owner = dns.name.from_wire(encode_name(name), 0)[0]
        except BadName:
            return Absent(name, name_exists=False)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._prove(name, owner, record_type)
        except TimeoutError:
            return Failed(name, "timed out")
        except Unreachable as error:
            return Failed(name, str(error))
        except Bogus as error:
            return Failed(name, f"DNSSEC validation failure: {error}", bogus=True)

    async def _prove(self, name: str, owner: dns.name.Name, record_type: int) -> Outcome[object]:
        """One answer, alias by alias.  Raises Bogus, Unreachable."""
        kind = dns.rdatatype.RdataType(record_type)
        current, seen = owner, {owner}
        ttl, secure = float("inf"), True
        while True:
            message = await self._message(current, kind)
            evidence, budget = Evidence(message), Budget()
            while True:  # what this answer says of `current`
                found = evidence.answer(current, kind)
                if found is not None:
                    held, signed = await self._check(found, evidence, budget)
                    read = VALUES[record_type]
                    values = tuple(read(record) for record in list(found)[:RECORDS_LIMIT])
                    return Answer(name, values, _text(current), min(ttl, held), secure and signed)
                alias = evidence.answer(current, dns.rdatatype.CNAME) if kind != dns.rdatatype.CNAME else None
                if alias is None:
                    break
                held, signed = await self._check_alias(alias, evidence, budget)
                ttl, secure = min(ttl, held), secure and signed
                current = alias[0].target
                if current in seen or len(seen) > CHAIN_LIMIT:
                    return Failed(name, f"the alias chain of {name} is too long or runs in a circle")
                seen.add(current)
            asked = message.question[0].name if message.question else current
            if current != asked and message.rcode() == dns.rcode.NOERROR and not _says_no(message):
                continue  # an alias without its target: the server does not follow chains, so we do
            exists, held, signed = await self._check_absence(current, kind, message, evidence, budget)
            return Absent(name, exists, min(ttl, held), secure and signed)

    async def _check(self, rrset: dns.rrset.RRset, evidence: Evidence, budget: Budget) -> tuple[float, bool]:
        """For how long records may be believed, and whether they are signed (else: rightly unsigned).  Raises Bogus."""
        signer = evidence.signer(rrset)
        zone = await self._chain.zone_of(signer if signer is not None else rrset.name)
        if zone is None:
            return float(rrset.ttl), False
        if signer is None:
            raise Bogus(f"the {dns.rdatatype.to_text(rrset.rdtype)} record of {rrset.name} has no signature")
        signed = verify(rrset, evidence.signatures(rrset), zone, self._chain.now(), budget)
        if signed.labels < len(rrset.name) - 1 - rrset.name.is_wild():
            denial, ttl = evidence.denial(zone, self._chain.now(), budget)
            if denial is None:
                return min(signed.ttl, ttl), False
            denial.no_exact_match(rrset.name, signed.labels)
        return signed.ttl, True

    async def _check_alias(self, alias: dns.rrset.RRset, evidence: Evidence, budget: Budget) -> tuple[float, bool]:
        if not evidence.signatures(alias):
            # An alias made from DNAME has no signature of its own (RFC 6672 section 5.3.1).
            source = evidence.above(alias.name, dns.rdatatype.DNAME)
            if source is not None:
                try:
                    made = alias.name.relativize(source.name).concatenate(source[0].target)
                except dns.name.NameTooLong:
                    raise Bogus(f"the alias {alias.name} is longer than names are") from None
                if len(alias) != 1 or made != alias[0].target:
                    raise Bogus(f"the alias {alias.name} is not what the DNAME record of {source.name} makes")
                return await self._check(source, evidence, budget)
        if len(alias) != 1:
            raise Bogus(f"{alias.name} is an alias of several names")
        return await self._check(alias, evidence, budget)

    async def _check_absence(
        self,
        name: dns.name.Name,
        kind: dns.rdatatype.RdataType,
        message: dns.message.Message,
        evidence: Evidence,
        budget: Budget,
    ) -> tuple[bool, float, bool]:
        """Whether the name exists, for how long that may be believed, whether it is proven.  Raises Bogus."""
        exists = message.rcode() != dns.rcode.NXDOMAIN
        ttl = float(_negative_ttl(message))
        denier = evidence.denier(name)
        zone = await self._chain.zone_of(denier if denier is not None else name)
        if zone is None:
            return exists, ttl, False
        if denier is None:
            raise Bogus(f"nothing proves that {name} has no {dns.rdatatype.to_text(kind)} record")
        if denier != zone.name:
            raise Bogus(f"{denier} is no zone")
        denial, held = evidence.denial(zone, self._chain.now(), budget)
        if denial is None:
            return exists, min(ttl, held), False
        proof = denial.absent(name, kind)
        return proof is not Proof.NO_NAME and exists, min(ttl, held), proof is not Proof.UNSIGNED


def _says_no(message: dns.message.Message) -> bool:
    """Whether an answer with nothing in it is a no (RFC 2308 section 2.2), rather than one that ends at an alias."""
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)


def _negative_ttl(message: dns.message.Message) -> int:
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return int(min(rrset.ttl, rrset[0].minimum))
    return 0
