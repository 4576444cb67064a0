"""Whether a zone's keys have signed a set of records (RFC 4034, RFC 4035 section 5.3), with a bound on the work.

The arithmetic is dnspython's and cryptography's.  What is added here is what a validator owes itself: which signatures
and keys are worth trying at all, and how often (a zone may hold many keys of one tag, CVE-2023-50387).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dns.dnssec
import dns.dnssectypes
import dns.exception
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.rrset

ALGORITHMS = frozenset({5, 7, 8, 10, 13, 14, 15, 16})
"""Signature algorithms that are validated (RFC 8624 section 3.1); a zone that has none of these counts as unsigned."""

DIGESTS = {2: "SHA256", 4: "SHA384", 1: "SHA1"}
"""Digests of DS records (RFC 8624 section 3.3), the preferred ones first."""

SIGNATURES_PER_SET = 8
KEYS_PER_SIGNATURE = 2
"""Keys of one tag and algorithm that are tried: a collision of two is chance, of more an attack."""

_ZONE_KEY, _REVOKED = 0x0100, 0x0080


class Bogus(Exception):
    """What should be signed is not, or not rightly: the answer must not be used (RFC 4033 section 5)."""


class Budget:
    """Work that validating one response may cost."""

    def __init__(self, signatures: int = 32, hashes: int = 128) -> None:
        self.signatures = signatures
        self.hashes = hashes

    def signature(self) -> None:
        """Before a signature is verified.  Raises Bogus."""
        self.signatures -= 1
        if self.signatures < 0:
            raise Bogus("validating it would take too much work")

    def hash(self) -> None:
        """Before a name is hashed.  Raises Bogus."""
        self.hashes -= 1
        if self.hashes < 0:
            raise Bogus("its denial would take too much work")


@dataclass(frozen=True)
class Zone:
    """A zone whose keys are trusted."""

    name: dns.name.Name
    keys: dns.rdataset.Rdataset


@dataclass(frozen=True)
class Signed:
    """A set of records with a signature that holds: until when, and as it stands in the zone (`wildcard`)."""

    ttl: float
    labels: int
    """Labels of the name that was signed, without root and asterisk (RFC 4034 section 3.1.3)."""


def verify(rrset: dns.rrset.RRset, signatures: Iterable[Any], zone: Zone, now: float, budget: Budget) -> Signed:
    """Find a signature of `zone` over `rrset` that holds at the time `now`.  Raises Bogus."""
    if not rrset.name.is_subdomain(zone.name):
        raise Bogus(f"{_what(rrset)} is not in the zone {zone.name}")
    problem = "has no signature"
    owner_labels = len(rrset.name) - 1 - (rrset.name.is_wild())
    for count, signature in enumerate(signatures):
        if count >= SIGNATURES_PER_SET:
            break
        if signature.type_covered != rrset.rdtype or signature.signer != zone.name:
            continue
        if signature.labels > owner_labels or signature.algorithm not in ALGORITHMS:
            continue
        keys = [key for key in zone.keys if _may_sign(key, signature)][:KEYS_PER_SIGNATURE]
        if not keys:
            problem = f"is signed by a key that {zone.name} does not have"
            continue
        for key in keys:
            budget.signature()
            try:
                dns.dnssec.validate_rrsig(rrset, signature, {zone.name: _one(key)}, None, now)
            except (dns.exception.DNSException, ValueError, ArithmeticError) as error:
                problem = f"has a signature that does not hold ({error})"
                continue
            left = min(rrset.ttl, signature.original_ttl, signature.expiration - now)
            return Signed(max(0.0, left), signature.labels)
    raise Bogus(f"{_what(rrset)} {problem}")


def _may_sign(key: Any, signature: Any) -> bool:
    return bool(
        key.algorithm == signature.algorithm
        and key.flags & (_ZONE_KEY | _REVOKED) == _ZONE_KEY
        and key.protocol == 3
        and dns.dnssec.key_id(key) == signature.key_tag
    )


def _one(key: Any) -> dns.rdataset.Rdataset:
    found = dns.rdataset.Rdataset(key.rdclass, key.rdtype)
    found.add(key)
    return found


def checkable(anchor: Any) -> bool:
    """Whether we know algorithm and digest of a DS record, or the algorithm of a DNSKEY record."""
    known = anchor.algorithm in ALGORITHMS
    return known and (anchor.rdtype == dns.rdatatype.DNSKEY or anchor.digest_type in DIGESTS)


def usable_ds(records: Iterable[Any]) -> list[Any]:
    """The DS records that can be checked, only those of the best digest; none = the zone counts as unsigned.

    RFC 4035 section 5.2, RFC 4509 section 3.
    """
    known = list(filter(checkable, records))
    strong = [ds for ds in known if ds.digest_type != 1]
    return (strong or known)[:SIGNATURES_PER_SET]


def entrusted_keys(name: dns.name.Name, keys: dns.rrset.RRset, anchors: Iterable[Any]) -> dns.rdataset.Rdataset:
    """Of a zone's keys those that DS or DNSKEY records vouch for."""
    found = dns.rdataset.Rdataset(keys.rdclass, dns.rdatatype.DNSKEY)
    for anchor in filter(checkable, anchors):
        for key in list(keys)[:64]:
            if key.flags & (_ZONE_KEY | _REVOKED) == _ZONE_KEY and _vouched(name, key, anchor):
                found.add(key)
    return found


def _vouched(name: dns.name.Name, key: Any, anchor: Any) -> bool:
    if anchor.rdtype == dns.rdatatype.DNSKEY:
        return bool(key == anchor)
    if dns.dnssec.key_id(key) != anchor.key_tag or key.algorithm != anchor.algorithm:
        return False
    try:
        made = dns.dnssec.make_ds(name, key, DIGESTS[anchor.digest_type], policy=dns.dnssec.allow_all_policy)
    except dns.exception.DNSException:
        return False
    return bool(made.digest == anchor.digest)


def _what(rrset: dns.rrset.RRset) -> str:
    return f"the {dns.rdatatype.to_text(rrset.rdtype)} record of {rrset.name}"
