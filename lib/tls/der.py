"""The few steps through an X.509 certificate (RFC 5280 section 4.1) that lead to its public key.

    Certificate     ::= SEQUENCE { tbsCertificate, ... }
    TBSCertificate  ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer, validity, subject,
                                   subjectPublicKeyInfo, ... }

The certificate comes from a stranger, so every length is checked.
"""

from __future__ import annotations

SEQUENCE = 0x30
VERSION = 0xA0
BEFORE_KEY = 5
"""serialNumber, signature, issuer, validity, subject."""


def public_key_info(certificate: bytes) -> bytes:
    """The DER of the SubjectPublicKeyInfo.  Raises ValueError for what is no certificate."""
    _, content, _ = _element(certificate, 0, SEQUENCE)
    _, position, _ = _element(certificate, content, SEQUENCE)
    if certificate[position : position + 1] == bytes((VERSION,)):
        position = _element(certificate, position)[2]
    for _ in range(BEFORE_KEY):
        position = _element(certificate, position)[2]
    start, _, end = _element(certificate, position, SEQUENCE)
    return certificate[start:end]


def _element(data: bytes, start: int, tag: int | None = None) -> tuple[int, int, int]:
    """Where the element at `start` begins, its content begins, and it ends (X.690 section 8.1)."""
    head = data[start : start + 2]
    if len(head) < 2 or (tag is not None and head[0] != tag):
        raise ValueError("not a certificate")
    length, content = head[1], start + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError("not a certificate: a length that DER does not have")
        length = int.from_bytes(data[content : content + size], "big")
        content += size
    if content + length > len(data):
        raise ValueError("not a certificate: it is cut off")
    return start, content, content + length
