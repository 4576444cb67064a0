"""Whether records of a signed zone prove that something does not exist (RFC 4035 section 5.4, RFC 5155 section 8).

Pure functions over NSEC or NSEC3 records whose signatures were found to hold.  The answer is one of `Proof`; what is
proven by none raises Bogus, for an answer from which an attacker has taken the records looks just like that.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

import dns.dnssec
import dns.name
import dns.rdatatype

from pillarbox.lib.dns.signatures import Bogus, Budget

ITERATIONS_LIMIT = 150
"""Extra hashes of NSEC3 beyond which a zone counts as unsigned (RFC 9276 section 3.2; Unbound and BIND do the same)."""

RECORDS_LIMIT = 16
"""NSEC or NSEC3 records of an answer that are looked at; a proof needs three."""

_NS, _CNAME, _SOA, _DNAME, _DS = (
    dns.rdatatype.NS,
    dns.rdatatype.CNAME,
    dns.rdatatype.SOA,
    dns.rdatatype.DNAME,
    dns.rdatatype.DS,
)


class Proof(Enum):
    """What is certain."""

    NO_DATA = "the name exists and has no such record"
    NO_NAME = "the name does not exist"
    UNSIGNED = "the zone leaves open what is there: there may be an unsigned delegation, but nothing signed"


class Denial(Protocol):
    """The records of one kind in one answer."""

    def absent(self, name: dns.name.Name, kind: int) -> Proof:
        """That `name` has no record of a type.  Raises Bogus."""

    def no_exact_match(self, name: dns.name.Name, encloser_labels: int) -> None:
        """That `name` itself does not exist, so that a wildcard below the encloser answers for it.  Raises Bogus."""

    def delegates(self, name: dns.name.Name) -> bool:
        """Whether a record of `name` itself says that there is a delegation (NS without SOA)."""


def bits(record: Any) -> frozenset[int]:
    """The types that exist at a name."""
    found = set()
    for window, octets in record.windows:
        for position, octet in enumerate(octets):
            for bit in range(8):
                if octet & 0x80 >> bit:
                    found.add(window * 256 + position * 8 + bit)
    return frozenset(found)


def _no_such_type(types: frozenset[int], kind: int) -> bool:
    """Whether a name's own record proves that a type is missing.

    RFC 6840 section 4.1: what the parent says of a delegation proves nothing but the absence of DS, and what the child
    says of its apex proves nothing of DS.
    """
    if kind in types or (_CNAME in types and kind != _CNAME):
        return False
    if kind == _DS:
        return _SOA not in types
    return not (_NS in types and _SOA not in types)


def _cuts_below(types: frozenset[int]) -> bool:
    """Whether what is below a name is not this zone's to deny (RFC 6840 section 4.1)."""
    return (_NS in types and _SOA not in types) or _DNAME in types


def _encloser(name: dns.name.Name, other: dns.name.Name) -> dns.name.Name:
    common = name.fullcompare(other)[2]
    return name.split(common)[1]


class Nsec:
    """NSEC records: (owner, record)."""

    def __init__(self, records: Sequence[tuple[dns.name.Name, Any]]) -> None:
        self._records = [(owner, record.next, bits(record)) for owner, record in records[:RECORDS_LIMIT]]

    def _matching(self, name: dns.name.Name) -> frozenset[int] | None:
        return next((types for owner, _, types in self._records if owner == name), None)

    def _covering(self, name: dns.name.Name) -> tuple[dns.name.Name, dns.name.Name] | None:
        for owner, behind, types in self._records:
            if not owner < name or (name.is_subdomain(owner) and _cuts_below(types)):
                continue
            if name < behind or (behind <= owner and name.is_subdomain(behind)):  # the last one leads to the apex
                return owner, behind
        return None

    def absent(self, name: dns.name.Name, kind: int) -> Proof:
        """See `Denial`."""
        types = self._matching(name)
        if types is not None:
            if _no_such_type(types, kind):
                return Proof.NO_DATA
            raise Bogus(f"{name} has the record that the answer denies")
        span = self._covering(name)
        if span is None:
            raise Bogus(f"nothing proves that {name} does not exist")
        if span[1].is_subdomain(name):
            return Proof.NO_DATA  # an empty non-terminal
        encloser = max(_encloser(name, span[0]), _encloser(name, span[1]), key=len)
        wildcard = dns.name.Name((b"*", *encloser.labels))
        types = self._matching(wildcard)
        if types is not None:
            if _no_such_type(types, kind):
                return Proof.NO_DATA
            raise Bogus(f"a wildcard answers for {name}")
        if self._covering(wildcard) is None:
            raise Bogus(f"nothing proves that no wildcard answers for {name}")
        return Proof.NO_NAME

    def no_exact_match(self, name: dns.name.Name, encloser_labels: int) -> None:
        """See `Denial`."""
        span = self._covering(name)
        if span is None:
            raise Bogus(f"nothing proves that a wildcard may answer for {name}")
        # What exists below the wildcard's own parent keeps it away from all that is below (RFC 4592 section 3.3.1).
        if max(len(_encloser(name, end)) for end in span) - 1 > encloser_labels:
            raise Bogus(f"a wildcard that is too far above answers for {name}")

    def delegates(self, name: dns.name.Name) -> bool:
        """See `Denial`."""
        types = self._matching(name)
        return types is not None and _NS in types and _SOA not in types


class TooManyIterations(Exception):
    """A zone with so many NSEC3 iterations that it counts as unsigned."""


class Nsec3:
    """NSEC3 records of one zone: (owner, record)."""

    def __init__(self, records: Sequence[tuple[dns.name.Name, Any]], zone: dns.name.Name, budget: Budget) -> None:
        """Raises Bogus, TooManyIterations."""
        self._zone = zone
        self._budget = budget
        self._hashes: dict[dns.name.Name, bytes] = {}
        self._records: list[tuple[bytes, bytes, frozenset[int], bool]] = []
        chosen = None
        for owner, record in records[:RECORDS_LIMIT]:
            if record.algorithm != 1 or record.flags & ~1 or owner.parent() != zone:
                continue  # RFC 5155 sections 8.1 and 8.2
            parameters = (record.iterations, record.salt)
            if chosen is None:
                chosen = parameters
            if parameters != chosen:
                raise Bogus("NSEC3 records of different parameters in one answer")
            # What a hash is compared with is the label's text: base32hex keeps the order of what it encodes.
            own = owner.labels[0].lower()
            self._records.append((own, _base32(record.next), bits(record), bool(record.flags & 1)))
        if chosen is None:
            raise Bogus("no usable NSEC3 record")
        self._iterations, self._salt = chosen
        if self._iterations > ITERATIONS_LIMIT:
            raise TooManyIterations

    def _hash(self, name: dns.name.Name) -> bytes:
        found = self._hashes.get(name)
        if found is None:
            self._budget.hash()
            found = dns.dnssec.nsec3_hash(name, self._salt, self._iterations, 1).lower().encode("ascii")
            self._hashes[name] = found
        return found

    def _matching(self, name: dns.name.Name) -> frozenset[int] | None:
        wanted = self._hash(name)
        return next((types for own, _, types, _ in self._records if own == wanted), None)

    def _covering(self, name: dns.name.Name) -> bool | None:
        """None: not covered; else whether the span opts out."""
        wanted = self._hash(name)
        for own, behind, _, opt_out in self._records:
            inside = own < wanted < behind if own < behind else (wanted > own or wanted < behind)
            if inside and wanted != own:
                return opt_out
        return None

    def _closest(self, name: dns.name.Name) -> tuple[dns.name.Name, bool]:
        """The closest encloser (RFC 5155 section 8.3), and whether the span of the next closer name opts out."""
        next_closer = name
        while next_closer != self._zone:
            encloser = next_closer.parent()
            types = self._matching(encloser)
            if types is not None:
                if _cuts_below(types):
                    break
                opt_out = self._covering(next_closer)
                if opt_out is None:
                    break
                return encloser, opt_out
            next_closer = encloser
        raise Bogus(f"nothing proves that {name} does not exist")

    def absent(self, name: dns.name.Name, kind: int) -> Proof:
        """See `Denial`."""
        types = self._matching(name)
        if types is not None:
            if _no_such_type(types, kind):
                return Proof.NO_DATA
            raise Bogus(f"{name} has the record that the answer denies")
        encloser, opt_out = self._closest(name)
        wildcard = dns.name.Name((b"*", *encloser.labels))
        types = self._matching(wildcard)
        if types is not None:
            if _no_such_type(types, kind):
                return Proof.NO_DATA
            raise Bogus(f"a wildcard answers for {name}")
        if opt_out:
            return Proof.UNSIGNED  # RFC 5155 section 9.2
        if self._covering(wildcard) is None:
            raise Bogus(f"nothing proves that no wildcard answers for {name}")
        return Proof.NO_NAME

    def no_exact_match(self, name: dns.name.Name, encloser_labels: int) -> None:
        """See `Denial` (RFC 5155 section 8.8)."""
        next_closer = name.split(encloser_labels + 2)[1]  # one label more, and the root
        if self._covering(next_closer) is None:
            raise Bogus(f"nothing proves that a wildcard may answer for {name}")

    def delegates(self, name: dns.name.Name) -> bool:
        """See `Denial`."""
        types = self._matching(name)
        return types is not None and _NS in types and _SOA not in types


_TO_HEX32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghijklmnopqrstuv")


def _base32(data: bytes) -> bytes:
    return b32encode(data).translate(_TO_HEX32).rstrip(b"=")
