"""What one response brings to prove itself with: sets of records, their signatures, and records of denial."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from pillarbox.lib.dns.denial import RECORDS_LIMIT, Denial, Nsec, Nsec3, TooManyIterations
from pillarbox.lib.dns.signatures import Bogus, Budget, Zone, verify

_NSEC, _NSEC3, _RRSIG = dns.rdatatype.NSEC, dns.rdatatype.NSEC3, dns.rdatatype.RRSIG


class Evidence:
    """One response."""

    def __init__(self, message: dns.message.Message) -> None:
        self._answers = [rrset for rrset in message.answer if rrset.rdclass == dns.rdataclass.IN]
        self._authority = [rrset for rrset in message.authority if rrset.rdclass == dns.rdataclass.IN]
        self._signatures: dict[tuple[dns.name.Name, int], list[Any]] = {}
        for section in (self._answers, self._authority):
            for rrset in section:
                if rrset.rdtype == _RRSIG:
                    self._signatures.setdefault((rrset.name, rrset.covers), []).extend(rrset)

    def answer(self, name: dns.name.Name, kind: int) -> dns.rrset.RRset | None:
        """The answer's records of a name and type."""
        for rrset in self._answers:
            if rrset.rdtype == kind and rrset.name == name:
                return rrset
        return None

    def above(self, name: dns.name.Name, kind: int) -> dns.rrset.RRset | None:
        """The answer's records of a type at a name above another (DNAME, RFC 6672)."""
        for rrset in self._answers:
            if rrset.rdtype == kind and rrset.name != name and name.is_subdomain(rrset.name):
                return rrset
        return None

    def signatures(self, rrset: dns.rrset.RRset) -> list[Any]:
        """The signatures that came with a set of records."""
        return self._signatures.get((rrset.name, rrset.rdtype), [])

    def signer(self, rrset: dns.rrset.RRset) -> dns.name.Name | None:
        """The zone that claims to have signed a set of records; None: none that could."""
        for signature in self.signatures(rrset):
            if rrset.name.is_subdomain(signature.signer):
                signer: dns.name.Name = signature.signer
                return signer
        return None

    def denier(self, name: dns.name.Name) -> dns.name.Name | None:
        """The zone that claims to have signed that `name`, or something about it, does not exist."""
        for rrset in self._authority:
            if rrset.rdtype in (_NSEC, _NSEC3):
                signer = self.signer(rrset)
                if signer is not None and name.is_subdomain(signer):
                    return signer
        return None

    def denial(self, zone: Zone, now: float, budget: Budget) -> tuple[Denial | None, float]:
        """The records of denial that `zone` has signed, and for how many seconds they hold.

        None: the zone has NSEC3 records that nobody should have to calculate.  Raises Bogus where there are none.
        """
        found: dict[int, list[tuple[dns.name.Name, Any]]] = {_NSEC: [], _NSEC3: []}
        ttl = float("inf")
        count = 0
        for rrset in self._authority:
            if rrset.rdtype not in found or count >= RECORDS_LIMIT or self.signer(rrset) != zone.name:
                continue  # an alias may bring the proofs of other zones along
            count += 1
            signed = verify(rrset, self.signatures(rrset), zone, now, budget)
            if signed.labels != len(rrset.name) - 1 - rrset.name.is_wild():
                raise Bogus(f"the denial at {rrset.name} was expanded from a wildcard")
            ttl = min(ttl, signed.ttl)
            found[rrset.rdtype].extend((rrset.name, record) for record in rrset)
        if found[_NSEC]:
            return Nsec(found[_NSEC]), ttl
        if found[_NSEC3]:
            try:
                return Nsec3(found[_NSEC3], zone.name, budget), ttl
            except TooManyIterations:
                return None, ttl
        raise Bogus(f"the zone {zone.name} does not prove what it denies")
