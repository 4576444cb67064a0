"""A client's certificate: who it says the client is, by whose word, and its fingerprints.

Names are for people and for access tables; they mean something only where the certificate is trusted.  Fingerprints
are Postfix's: upper-case hexadecimal pairs with colons, of the certificate and of its public key (its
SubjectPublicKeyInfo).
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pillarbox.lib.tls import native
from pillarbox.lib.tls.der import public_key_info

NAME_LIMIT = 256
"""Characters of a name that are kept."""

X509_V_OK = 0


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What is known of a certificate whose key the client has proved to have."""

    subject: str
    """The common name; "" where it has none."""
    issuer: str
    """The issuer's common name, else its organization."""
    fingerprint: str
    pubkey_fingerprint: str
    trusted: bool
    """Whether an authority that we trust vouches for it."""
    problem: str = ""
    """Why it is not trusted."""
    emails: tuple[str, ...] = ()
    """The mail addresses that it is for (RFC 5280 section 4.2.1.6, rfc822Name), as written."""


def client_certificate(session: ssl.SSLObject, digest: str) -> ClientCertificate | None:
    """The certificate that the client has shown, None where it has shown none (or none that can be read)."""
    data = session.getpeercert(binary_form=True)
    if data is None:
        return None
    try:
        key = public_key_info(data)
        fields: dict[str, Any] = session.getpeercert() or {}
    except (ValueError, ssl.SSLError):
        return None
    problem = _problem(session)
    issuer = fields.get("issuer", ())
    return ClientCertificate(
        subject=_first(fields.get("subject", ()), "commonName"),
        issuer=_first(issuer, "commonName") or _first(issuer, "organizationName"),
        fingerprint=fingerprint(data, digest),
        pubkey_fingerprint=fingerprint(key, digest),
        trusted=not problem,
        problem=problem,
        emails=tuple(_clean(value) for kind, value in fields.get("subjectAltName", ()) if kind == "email"),
    )


def fingerprint(data: bytes, digest: str) -> str:
    """`9A:3F:...` of the digest of `data`."""
    return hashlib.new(digest, data, usedforsecurity=False).digest().hex(":").upper()


def _problem(session: ssl.SSLObject) -> str:
    """Why the certificate is not trusted, "" where it is.

    Without the native library no handshake ends well with an untrusted certificate (see `trust`).
    """
    library = native.library()
    if library is None:
        return ""
    address = native.session_address(session)
    if not address:
        return "unknown"
    result = library.SSL_get_verify_result(address)
    if result == X509_V_OK:
        return ""
    text: bytes | None = library.X509_verify_cert_error_string(result)
    return (text or b"unknown").decode("ascii", "replace")


def _first(name: Any, kind: str) -> str:
    return next(_values(name, kind), "")


def _values(name: Any, kind: str) -> Iterator[str]:
    for relative in name:
        for attribute, value in relative:
            if attribute == kind:
                yield _clean(value)


def _clean(value: str) -> str:
    """Text that can stand in a log line: a certificate may hold anything."""
    return "".join(character if character.isprintable() else "?" for character in value[:NAME_LIMIT])
