"""A certificate authority for tests: server certificates on P-256 for the names a test asks for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM files: `chain` holds key then certificate, as Postfix's chain files want it."""

    certificate: Path
    key: Path
    chain: Path
    fingerprint: str  # SHA-256 of the DER form, hexadecimal: what a `3 0 1` TLSA record says
    public_key_digest: str  # SHA-256 of the public key's DER form: what a `3 1 1` TLSA record says

    @cached_property
    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context


class Authority:
    """A self-signed authority whose files lie in `directory`."""

    def __init__(self, directory: Path, name: str = "Laboratory CA") -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key.public_key(), _now() - _DAY, _now() + 30 * _DAY)
        self._certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(
            self._key, hashes.SHA256()
        )
        self.certificate = directory / "ca.pem"
        self.certificate.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def client_context(self) -> ssl.SSLContext:
        """A context for clients that trusts this authority only."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """A server certificate for host names and addresses (`*.example.org` too)."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = _now() - _DAY if expired else _now() + 30 * _DAY
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            _builder(subject, self._name, key.public_key(), until - 31 * _DAY, until)
            .add_extension(x509.SubjectAlternativeName(_general_names(names)), False)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
            )
            .sign(self._key, hashes.SHA256())
        )
        return self._write(names[0] + ("-expired" if expired else ""), certificate, key)

    def _write(self, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
        stem = stem.replace("*", "_")
        public = certificate.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        paths = [self.directory / f"{stem}.{kind}.pem" for kind in ("cert", "key", "chain")]
        for path, content in zip(paths, (public, private, private + public), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(
            certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        return Certificate(paths[0], paths[1], paths[2], fingerprint, digest.finalize().hex())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begin: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    result: list[x509.GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            result.append(x509.DNSName(name))
    return result
