"""The self-signed certificate of a new instance: enough for encryption at once, to be replaced by a real one.

P-256, because every client knows it and its handshake costs the server least.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY_DAYS = 3650
"""Nobody renews a self-signed certificate; one that runs out only teaches people to ignore warnings."""

COMMON_NAME_LIMIT = 64
"""Octets, RFC 5280 appendix A.1 ub-common-name; a longer host name stands in the alternative names only."""


def make_certificate(hostname: str, names: tuple[str, ...] = (), *, now: datetime.datetime) -> tuple[bytes, bytes]:
    """A new certificate for `hostname`, localhost, 127.0.0.1, ::1 and `names`, and its key; both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:COMMON_NAME_LIMIT])])
    hosts = dict.fromkeys((hostname, *names, "localhost"))
    addresses = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
    alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
    alternatives.extend(x509.IPAddress(address) for address in addresses)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour back, for clients whose clock is behind.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALIDITY_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def write_certificate(
    certificate_file: Path, key_file: Path, hostname: str, names: tuple[str, ...] = (), *, now: datetime.datetime
) -> None:
    """Make a certificate and write it (mode 0644) and its key (0600), each complete or not at all.

    Makes the directory (0755) if needed.  Raises OSError.
    """
    certificate, key = make_certificate(hostname, names, now=now)
    for file in (certificate_file, key_file):
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _write(key_file, key, 0o600)
    _write(certificate_file, certificate, 0o644)


def _write(file: Path, data: bytes, mode: int) -> None:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)  # whatever the umask took away
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
