"""DNSSEC for the private DNS server: zones with keys, signatures made while answering, and proofs of absence.

The root is a signed zone, and so is every zone that `delegate` cuts off below it, unless told otherwise. Each has one
key (ECDSA P-256), which its parent vouches for with a DS record. Absence is proved by the real chain of the zone's
names, with NSEC (RFC 4034) or NSEC3 (RFC 5155), so that a validator finds in it what it would find anywhere.

Nothing here knows sockets; `tests.lab.dns` asks `Zones.respond`, and spoils what it is told to spoil.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import dns.dnssec
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lab.records import Data, Kind, Name, Records, wildcard_of, with_ancestors

TTL = 5  # seconds; nothing in a test should live long in a cache

SPOILED = ("bogus", "expired", "unsigned", "stripped")
"""What can be wrong with signed data: a signature that does not fit, one whose time is over, one that is missing; and
records that somebody on the way took out, signatures and proofs with them."""

DELEGATIONS = ("good", "missing", "wrong")
"""How a parent vouches for a zone: not at all is an insecure delegation, with a wrong key a bogus one."""

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"
"""RFC 4033 section 5."""

_ALIASES = 8
_PAST, _FUTURE = 86400, 60 * 86400  # seconds around now that signatures are good for: virtual clocks run ahead
_SALT, _ITERATIONS = "aabbccdd", 1
_SYNTHETIC = (dns.rdatatype.SOA, dns.rdatatype.NS)


@dataclass(eq=False)
class Zone:
    """One zone: its apex, what it says of itself, and what is known of its names until the records change."""

    apex: Name
    parent: Zone | None
    signed: bool
    nsec3: bool
    ds: str
    key: ec.EllipticCurvePrivateKey
    dnskey: dns.rdata.Rdata
    cuts: set[Name] = field(default_factory=set)
    owners: list[Name] = field(default_factory=list)  # in canonical order: the NSEC chain
    existing: set[Name] = field(default_factory=set)  # with empty non-terminals
    hashes: list[str] = field(default_factory=list)  # the NSEC3 chain
    hashed: dict[str, Name] = field(default_factory=dict)  # whose hash it is

    @property
    def status(self) -> str:
        """What a validator that trusts the root makes of the zone."""
        if self.parent is None:
            return SECURE if self.signed else INSECURE
        if self.parent.status != SECURE:
            return self.parent.status
        if not self.signed or self.ds == "missing":
            return INSECURE
        return SECURE if self.ds == "good" else BOGUS


class Zones:
    """The tree of zones above the records of a server."""

    def __init__(self, records: Records, *, nsec3: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._records, self._clock, self._hashed = records, clock, nsec3
        self._zones: dict[Name, Zone] = {}
        self._chained = False
        self.delegate(dns.name.root)

    def delegate(self, apex: Name, *, signed: bool = True, ds: str = "good", nsec3: bool | None = None) -> None:
        """Make `apex` a zone of its own, or make it anew; from the root downwards.  Raises ValueError."""
        if ds not in DELEGATIONS:
            raise ValueError(f"a delegation is one of {', '.join(DELEGATIONS)}, not {ds!r}")
        if any(each != apex and each.is_subdomain(apex) for each in self._zones):
            raise ValueError(f"there are zones below {apex} already; make zones from the root downwards")
        self._zones.pop(apex, None)
        parent = self._zone(apex, above=True) if apex != dns.name.root else None
        key = ec.generate_private_key(ec.SECP256R1())
        dnskey = dns.dnssec.make_dnskey(key.public_key(), "ECDSAP256SHA256", flags=257)
        self._zones[apex] = Zone(apex, parent, signed, self._hashed if nsec3 is None else nsec3, ds, key, dnskey)
        if parent is not None:
            parent.cuts.add(apex)
        self.changed()

    def changed(self) -> None:
        """Records came or went: the chains are made anew when the next absence is to be proved."""
        self._chained = False

    def trust_anchor(self, apex: Name) -> str:
        """The zone's key as a record in text form, which validators take as trust anchor.  Raises KeyError."""
        return f"{apex} IN DNSKEY {self._zones[apex].dnskey.to_text()}"

    def respond(
        self,
        response: dns.message.Message,
        name: Name,
        kind: Kind,
        spoiled: Callable[[Name, Kind], str],
    ) -> str:
        """Fill a response with answer or proof; what a validator would make of it (SECURE, INSECURE, BOGUS).

        `spoiled` says for a name and type what is wrong there, "" for nothing.  Signatures and proofs are always put
        in; the server leaves them out for who has not asked for them.
        """
        self._chain()
        status = SECURE
        for _ in range(_ALIASES):
            zone = self._zone(name, above=kind == dns.rdatatype.DS)
            how = spoiled(name, kind)
            if how:
                status = BOGUS if zone.status == SECURE else zone.status
                if how == "stripped":
                    return status
            elif status == SECURE or zone.status == BOGUS:
                status = zone.status
            source = self._source(zone, name)
            found = self._data(zone, source, kind) if source is not None else []
            alias = self._data(zone, source, dns.rdatatype.CNAME) if source is not None and not found else []
            if found or alias:
                assert source is not None
                shown = kind if found else dns.rdatatype.CNAME
                self._put(response.answer, zone, source, shown, found or alias, how, shown_as=name)
                if source != name:
                    self._prove(response, zone, self._wildcard_proof(zone, name), how)
                if found:
                    return status
                name = alias[0].target  # type: ignore[attr-defined]
                continue
            break
        else:
            return status
        if source is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._put(response.authority, zone, zone.apex, dns.rdatatype.SOA, self._soa(zone), how)
        self._prove(response, zone, self._absence_proof(zone, name, source), how)
        return status

    # What there is

    def _zone(self, name: Name, above: bool = False) -> Zone:
        """The zone that a name lies in; `above` asks for the parent's side of a cut."""
        if above and name != dns.name.root:
            name = name.parent()
        while name not in self._zones:
            name = name.parent()
        return self._zones[name]

    def _source(self, zone: Zone, name: Name) -> Name | None:
        if name in zone.existing:
            return name
        wildcard = wildcard_of(self._encloser(zone, name))
        return wildcard if wildcard in zone.existing else None

    def _encloser(self, zone: Zone, name: Name) -> Name:
        while name not in zone.existing:
            name = name.parent()
        return name

    def _data(self, zone: Zone, name: Name, kind: Kind) -> Data:
        if name in zone.cuts:
            child = self._zones[name]
            if kind == dns.rdatatype.DS and child.signed and child.ds != "missing":
                return self._records.get(name, kind) or [self._ds(child)]
            return self._ns(child) if kind == dns.rdatatype.NS else []
        found = self._records.get(name, kind)
        if found or name != zone.apex:
            return found
        if kind == dns.rdatatype.SOA:
            return self._soa(zone)
        if kind == dns.rdatatype.NS:
            return self._ns(zone)
        if kind == dns.rdatatype.DNSKEY and zone.signed:
            return [zone.dnskey]
        if kind == dns.rdatatype.NSEC3PARAM and zone.signed and zone.nsec3:
            return [_rdata(dns.rdatatype.NSEC3PARAM, f"1 0 {_ITERATIONS} {_SALT}")]
        return []

    def _kinds(self, zone: Zone, name: Name) -> set[Kind]:
        possible = {dns.rdatatype.NS, dns.rdatatype.DS} if name in zone.cuts else set(self._records.kinds(name))
        if name == zone.apex:
            possible |= {*_SYNTHETIC, dns.rdatatype.DNSKEY, dns.rdatatype.NSEC3PARAM}
        return {kind for kind in possible if self._data(zone, name, kind)}

    def _ds(self, child: Zone) -> dns.rdata.Rdata:
        good = dns.dnssec.make_ds(child.apex, child.dnskey, "SHA256")
        if child.ds == "wrong":
            return good.replace(digest=bytes(octet ^ 0xFF for octet in good.digest))
        return good

    def _soa(self, zone: Zone) -> Data:
        found = self._records.get(zone.apex, dns.rdatatype.SOA)
        return found or [_rdata(dns.rdatatype.SOA, f"ns.lab. hostmaster.lab. 1 3600 600 86400 {TTL}")]

    def _ns(self, zone: Zone) -> Data:
        return self._records.get(zone.apex, dns.rdatatype.NS) or [_rdata(dns.rdatatype.NS, "ns.lab.")]

    # Signatures

    def _put(
        self,
        section: list[dns.rrset.RRset],
        zone: Zone,
        owner: Name,
        kind: Kind,
        data: Data,
        how: str,
        shown_as: Name | None = None,
    ) -> None:
        """Put records and their signature into a section; those of a wildcard under the name that was asked for."""
        rrset = dns.rrset.from_rdata_list(owner, TTL, data)
        shown = rrset if shown_as in (None, owner) else dns.rrset.from_rdata_list(shown_as, TTL, data)
        if any(each.name == shown.name and each.rdtype == kind for each in section):
            return
        section.append(shown)
        delegation = owner in zone.cuts and kind == dns.rdatatype.NS  # the child's data, not signed here
        if zone.signed and not delegation and how != "unsigned":
            section.append(dns.rrset.from_rdata_list(shown.name, TTL, [self._sign(zone, rrset, how)]))

    def _sign(self, zone: Zone, rrset: dns.rrset.RRset, how: str) -> dns.rdata.Rdata:
        now = int(self._clock())
        begin, end = (now - 40 * 86400, now - 10 * 86400) if how == "expired" else (now - _PAST, now + _FUTURE)
        made = dns.dnssec.sign(
            rrset,
            zone.key,
            zone.apex,
            zone.dnskey,  # type: ignore[arg-type]
            inception=begin,
            expiration=end,
        )
        if how == "bogus":
            return made.replace(signature=made.signature[:-1] + bytes([made.signature[-1] ^ 1]))
        return made

    # Proofs of absence

    def _chain(self) -> None:
        if self._chained:
            return
        self._chained = True
        members: dict[Name, set[Name]] = {apex: {apex} | zone.cuts for apex, zone in self._zones.items()}
        for owner in self._records.owners():
            members[self._zone(owner).apex].add(owner)
        for apex, zone in self._zones.items():
            zone.owners = sorted(members[apex])
            zone.existing = {each for each in with_ancestors(zone.owners) if each.is_subdomain(apex)}
            zone.hashed = {_hash(each): each for each in zone.existing} if zone.nsec3 else {}
            zone.hashes = sorted(zone.hashed)

    def _prove(
        self, response: dns.message.Message, zone: Zone, proof: Iterable[tuple[Name, Kind, str]], how: str
    ) -> None:
        if zone.signed:
            for owner, kind, text in proof:
                self._put(response.authority, zone, owner, kind, [_rdata(kind, text)], how)

    def _absence_proof(self, zone: Zone, name: Name, source: Name | None) -> list[tuple[Name, Kind, str]]:
        """RFC 4035 section 3.1.3, RFC 5155 section 7.2; `source` is the name that exists but lacks the type."""
        if zone.nsec3:
            if source == name:
                return [self._nsec3(zone, name)]
            encloser = self._encloser(zone, name)
            return [
                self._nsec3(zone, encloser),
                self._nsec3(zone, _next_closer(name, encloser)),
                self._nsec3(zone, wildcard_of(encloser)),
            ]
        if source == name:
            return [self._nsec(zone, name)]
        return [self._nsec(zone, name), self._nsec(zone, wildcard_of(self._encloser(zone, name)))]

    def _wildcard_proof(self, zone: Zone, name: Name) -> list[tuple[Name, Kind, str]]:
        """No closer name than the wildcard (RFC 4035 section 3.1.3.3, RFC 5155 section 7.2.6)."""
        if zone.nsec3:
            return [self._nsec3(zone, _next_closer(name, self._encloser(zone, name)))]
        return [self._nsec(zone, name)]

    def _nsec(self, zone: Zone, name: Name) -> tuple[Name, Kind, str]:
        """The link of the chain that has `name`, or in whose gap it would lie."""
        place = bisect.bisect_right(zone.owners, name) - 1
        owner, after = zone.owners[place], zone.owners[(place + 1) % len(zone.owners)]
        return owner, dns.rdatatype.NSEC, f"{after} {_bitmap({*self._kinds(zone, owner), dns.rdatatype.NSEC}, True)}"

    def _nsec3(self, zone: Zone, name: Name) -> tuple[Name, Kind, str]:
        place = bisect.bisect_right(zone.hashes, _hash(name)) - 1  # before the first: the last, whose gap wraps around
        link, after = zone.hashes[place], zone.hashes[(place + 1) % len(zone.hashes)]
        owner = zone.hashed[link]
        kinds = self._kinds(zone, owner)
        signed = bool(kinds - {dns.rdatatype.NS}) or (bool(kinds) and owner not in zone.cuts)
        place_name = dns.name.Name((link.lower(),)).concatenate(zone.apex)
        return place_name, dns.rdatatype.NSEC3, f"1 0 {_ITERATIONS} {_SALT} {after} {_bitmap(kinds, signed)}"


def _next_closer(name: Name, encloser: Name) -> Name:
    """The name one label longer than the closest encloser (RFC 5155 section 1.3)."""
    return dns.name.Name(name.labels[-len(encloser.labels) - 1 :])


def _hash(name: Name) -> str:
    return dns.dnssec.nsec3_hash(name, _SALT, _ITERATIONS, 1)


def _bitmap(kinds: set[Kind], signed: bool) -> str:
    return " ".join(
        dns.rdatatype.to_text(each) for each in sorted({*kinds, *([dns.rdatatype.RRSIG] if signed else [])})
    )


def _rdata(kind: Kind, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False)
