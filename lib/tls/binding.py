"""Channel binding: bytes that only the two ends of one TLS session have in common (RFC 5929, RFC 9266).

SCRAM with a mechanism name in -PLUS signs them, so that credentials passed on by someone in the middle are worthless.
"""

from __future__ import annotations

import ctypes
import hashlib
import ssl
from typing import Any

from pillarbox.lib.tls import native

EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
EXPORTER_LENGTH = 32
"""RFC 9266 section 2."""

_WEAK = ("md5", "sha1")
"""Digests of certificate signatures in whose place SHA-256 is used (RFC 5929 section 4.1)."""


def exporter(session: ssl.SSLObject) -> bytes | None:
    """`tls-exporter` (RFC 9266); None where it cannot be had, or is not unique to the session.

    Of TLS 1.2 and older the binding is unique only with the extended master secret, which is not asked about here: only
    TLS 1.3 gets one.
    """
    library = native.library()
    address = native.session_address(session) if library is not None else 0
    if library is None or not address or session.version() != "TLSv1.3":
        return None
    out = ctypes.create_string_buffer(EXPORTER_LENGTH)
    # RFC 9266: an empty context that is given, not one that is left out; TLS 1.3 makes no difference between the two.
    done = library.SSL_export_keying_material(
        address, out, EXPORTER_LENGTH, EXPORTER_LABEL, len(EXPORTER_LABEL), b"", 0, 1
    )
    return out.raw if done == 1 else None


def server_end_point(session: ssl.SSLObject) -> bytes | None:
    """`tls-server-end-point` (RFC 5929 section 4) as the server sees it; None where it cannot be had."""
    library = native.library()
    address = native.session_address(session) if library is not None else 0
    if library is None or not address or not (certificate := library.SSL_get_certificate(address)):
        return None
    return end_point_of(_encoded(library, certificate))


def end_point_of(certificate: bytes) -> bytes | None:
    """The binding for a certificate in DER; None for a signature algorithm whose digest RFC 5929 leaves open."""
    from cryptography import x509  # only where channel binding is used: it is large

    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    if algorithm is None:
        return None
    return hashlib.new("sha256" if algorithm.name in _WEAK else algorithm.name, certificate).digest()


def _encoded(library: Any, certificate: int) -> bytes:
    size = library.i2d_X509(certificate, None)
    buffer = ctypes.create_string_buffer(size)
    position = ctypes.c_void_p(ctypes.addressof(buffer))
    library.i2d_X509(certificate, ctypes.byref(position))
    return buffer.raw
