"""DANE for SMTP: which TLSA records count, and what they say (RFC 7672 section 3, RFC 7671).

A certificate is compared with them by OpenSSL itself where `native` can reach it (`handshake`), else by
`association`, which the tests hold against OpenSSL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pillarbox.lib.dns import TLSA

DANE_TA, DANE_EE = 2, 3
CERTIFICATE, PUBLIC_KEY = 0, 1
FULL, SHA256, SHA512 = 0, 1, 2

_DIGEST_SIZE = {SHA256: 32, SHA512: 64}

RECORD_LIMIT = 32
"""TLSA records of a server that are looked at; servers have two to eight."""

FULL_LIMIT = 8192
"""Octets of a record that holds a whole certificate or key."""


def usable(records: Iterable[TLSA]) -> tuple[TLSA, ...]:
    """The records that a certificate is compared with; none of many = encrypt, without knowing with whom.

    Usages 0 and 1 mean nothing for SMTP (RFC 7672 section 3.1.3); of several digests over the same thing only the best
    counts, so that nobody can make the weaker one decide (RFC 7671 section 9).
    """
    known = [record for record in dict.fromkeys(list(records)[:RECORD_LIMIT]) if _makes_sense(record)]
    best: dict[tuple[int, int], int] = {}
    for record in known:
        if record.matching != FULL:
            key = record.usage, record.selector
            best[key] = max(best.get(key, 0), record.matching)
    chosen = [
        record for record in known if record.matching == FULL or record.matching == best[record.usage, record.selector]
    ]
    return tuple(sorted(chosen, key=lambda record: (-record.usage, record.selector, record.matching, record.data)))


def _makes_sense(record: TLSA) -> bool:
    if record.usage not in (DANE_TA, DANE_EE) or record.selector not in (CERTIFICATE, PUBLIC_KEY):
        return False
    if record.matching != FULL:
        return len(record.data) == _DIGEST_SIZE.get(record.matching)
    return 0 < len(record.data) <= FULL_LIMIT and _is_whole(record)


def _is_whole(record: TLSA) -> bool:
    try:
        if record.selector == CERTIFICATE:
            x509.load_der_x509_certificate(record.data).public_key()
        else:
            load_der_public_key(record.data)
    except Exception:  # whatever the library finds wrong with a stranger's octets: they are no certificate
        return False
    return True


def selected(record: TLSA, certificate: bytes, public_key: bytes) -> bool:
    """Whether a record is about a certificate (DER) with a public key (SubjectPublicKeyInfo)."""
    subject = certificate if record.selector == CERTIFICATE else public_key
    match record.matching:
        case 1:
            return hashlib.sha256(subject).digest() == record.data
        case 2:
            return hashlib.sha512(subject).digest() == record.data
    return subject == record.data


def as_text(record: TLSA) -> str:
    """As a master file has it, and a report to the domain's owner (RFC 8460 section 4.4, "policy-string")."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"
