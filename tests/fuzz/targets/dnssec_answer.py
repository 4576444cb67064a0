"""Signed answers of name servers: RRSIG, DS, NSEC and NSEC3 records that say anything, to every question about them.

The data are a DNS message; the zone's keys are fixed, so that nothing in it can be signed by them but what was.
"""

from __future__ import annotations

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdataset
import dns.rdatatype

from pillarbox.lib.dns.anchors import ROOT, parse_anchors
from pillarbox.lib.dns.denial import Nsec, Nsec3, TooManyIterations, bits
from pillarbox.lib.dns.evidence import Evidence
from pillarbox.lib.dns.signatures import Bogus, Budget, Zone, entrusted_keys, usable_ds, verify
from pillarbox.lib.dns.validating import VALUES

_NAME = dns.name.from_text("_25._tcp.mx.example.org.")
_KEYS = dns.rdataset.from_text(
    "IN",
    "DNSKEY",
    3600,
    "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==",
)
_ZONES = [Zone(dns.name.from_text(name), _KEYS) for name in (".", "org.", "example.org.")]
_ANCHORS = parse_anchors(ROOT)["."]


def fuzz(data: bytes) -> None:
    """Nothing but Bogus (and TooManyIterations, by design), and nothing that was not signed is believed."""
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return
    for section in (message.answer, message.authority):
        section[:] = [rrset for rrset in section if rrset.rdclass == dns.rdataclass.IN]  # as Evidence does
    evidence = Evidence(message)
    evidence.denier(_NAME)
    for zone in _ZONES:
        budget = Budget()
        for rrset in [*message.answer, *message.authority]:
            evidence.signer(rrset)
            try:
                verify(rrset, evidence.signatures(rrset), zone, 1.7e9, budget)
            except Bogus:
                continue
            raise AssertionError("a signature holds that nobody has made")
        try:
            evidence.denial(zone, 1.7e9, budget)
        except Bogus:
            pass
    _deny(message)
    for rrset in message.answer:
        for record in rrset:
            if (read := VALUES.get(rrset.rdtype)) is not None:
                read(record)
        if rrset.rdtype == dns.rdatatype.DNSKEY:
            entrusted_keys(rrset.name, rrset, _ANCHORS)
        if rrset.rdtype == dns.rdatatype.DS:
            usable_ds(rrset)


def _deny(message: dns.message.Message) -> None:
    """The same records as if their signatures held."""
    for kind in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3):
        records = [(rrset.name, record) for rrset in message.authority if rrset.rdtype == kind for record in rrset]
        for _, record in records:
            bits(record)
        budget = Budget()
        for zone in _ZONES:
            try:
                denial = Nsec(records) if kind == dns.rdatatype.NSEC else Nsec3(records, zone.name, budget)
            except (Bogus, TooManyIterations):
                continue
            for wanted in (dns.rdatatype.TLSA, dns.rdatatype.DS):
                try:
                    denial.absent(_NAME, wanted)
                except Bogus:
                    pass
            for labels in range(4):
                try:
                    denial.no_exact_match(_NAME, labels)
                except Bogus:
                    pass
            denial.delegates(_NAME)
