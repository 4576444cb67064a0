"""Where trust in signed names begins: DS or DNSKEY records of zones, by default the root's (RFC 4035 section 4.4).

Written as in a master file, the owner first, a record a line: `. IN DS 20326 8 2 E06D44B8...`; class and TTL may be
left out, `;` begins a comment, brackets may join lines (RFC 1035 section 5.1).  Records of algorithms and digests that
nobody here can check are passed over (RFC 4035 section 5.2, RFC 6840 section 5.2): a file may hold those of tomorrow
beside those of today.  A zone of which only such are left is a mistake: everything below it would be bogus for ever.
"""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.rdatatype
import dns.zonefile

from pillarbox.lib.dns.signatures import checkable

ROOT = """
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
"""
"""The root's key signing keys KSK-2017 and KSK-2024 (https://data.iana.org/root-anchors/root-anchors.xml)."""

ANCHOR_LIMIT = 100
"""Records: a root and some islands of an organization's own have ten."""


def parse_anchors(text: str) -> dict[str, tuple[Any, ...]]:
    """Records by the zone's name, with its final dot, in lower case.  Raises ValueError that says what is wrong."""
    try:
        found = dns.zonefile.read_rrsets(text, rdclass=None, default_rdclass="IN", default_ttl=0)
    except dns.exception.DNSException as error:
        raise ValueError(f"DS or DNSKEY records of zones were expected, one a line: {error}") from None
    anchors: dict[str, tuple[Any, ...]] = {}
    for rrset in found:
        if rrset.rdtype not in (dns.rdatatype.DS, dns.rdatatype.DNSKEY):
            raise ValueError(f"DS or DNSKEY records were expected, not {dns.rdatatype.to_text(rrset.rdtype)}")
        name = rrset.name.to_text().lower()
        anchors[name] = (*anchors.get(name, ()), *filter(checkable, rrset))
    if not anchors:
        raise ValueError("there is no DS or DNSKEY record")
    for name, records in anchors.items():
        if not records:
            raise ValueError(f"no record of the zone {name} has an algorithm and digest that are known here")
    if sum(map(len, anchors.values())) > ANCHOR_LIMIT:
        raise ValueError(f"there are more than {ANCHOR_LIMIT} records")
    return anchors
