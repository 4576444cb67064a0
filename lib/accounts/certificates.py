"""Client certificates that stand for an account, by fingerprint.

A fingerprint is the SHA-256 of a certificate (DER) or of its public key (SubjectPublicKeyInfo, DER; it survives a
renewal with the same key).
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pillarbox.lib.accounts.errors import AccountNotFound, BadCertificate, CertificateExists, CertificateNotFound
from pillarbox.lib.accounts.failures import failures
from pillarbox.lib.accounts.names import normalize_address

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One as stored; `created` in seconds since the epoch."""

    fingerprint: str
    address: str
    name: str
    created: float


def normalize_fingerprint(text: str) -> str:
    """`SHA256:AB:CD...` as 64 lower-case hex digits; raises BadCertificate."""
    digits = text.strip().lower().removeprefix("sha256:").removeprefix("sha256 fingerprint=").replace(":", "")
    if not _DIGEST.fullmatch(digits):
        raise BadCertificate(f'"{text[:100]}" is no SHA-256 fingerprint (64 hex digits)')
    return digits


def certificate_fingerprint(pem: bytes, *, key: bool = False) -> str:
    """The fingerprint of a PEM certificate, or with `key` of its public key; raises BadCertificate."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        if not key:
            return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise BadCertificate(f"no PEM certificate: {error}") from None
    return hashlib.sha256(public).hexdigest()


class Certificates:
    """The table, on the connection of an `AccountDatabase`; methods raise AccountsUnavailable when it fails."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock

    def add(self, address: str, fingerprint: str, name: str = "") -> str:
        """Let a certificate stand for an account; gives the fingerprint as stored.

        Raises AccountNotFound, BadAddress, BadCertificate, CertificateExists (one certificate is one account).
        """
        address, fingerprint = normalize_address(address), normalize_fingerprint(fingerprint)
        with failures():
            if self.owner(fingerprint):
                raise CertificateExists(f"the certificate {fingerprint} stands for {self.owner(fingerprint)} already")
            try:
                statement = "INSERT INTO certificates (fingerprint, address, name, created) VALUES (?, ?, ?, ?)"
                self._connection.execute(statement, (fingerprint, address, name, self._clock()))
            except sqlite3.IntegrityError:
                raise AccountNotFound(f"{address} has no account") from None
        return fingerprint

    def owner(self, fingerprint: str) -> str:
        """The account of a fingerprint as stored; "" where there is none."""
        with failures():
            statement = "SELECT address FROM certificates WHERE fingerprint = ?"
            row = self._connection.execute(statement, (fingerprint,)).fetchone()
        return "" if row is None else str(row[0])

    def of(self, address: str) -> list[StoredCertificate]:
        """Those of a normalized address, oldest first."""
        with failures():
            rows = self._connection.execute(
                "SELECT fingerprint, address, name, created FROM certificates WHERE address = ? ORDER BY created",
                (address,),
            ).fetchall()
        return [StoredCertificate(*row) for row in rows]

    def delete(self, address: str, fingerprint: str) -> None:
        """Take a certificate away from an account.  Raises BadAddress, BadCertificate, CertificateNotFound."""
        address, fingerprint = normalize_address(address), normalize_fingerprint(fingerprint)
        with failures():
            statement = "DELETE FROM certificates WHERE fingerprint = ? AND address = ?"
            if not self._connection.execute(statement, (fingerprint, address)).rowcount:
                raise CertificateNotFound(f"{address} has no certificate {fingerprint}")
