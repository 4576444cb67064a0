"""What a client makes of a server's certificate when the handshake is done: who it is, or why it is the wrong one.

What a handshake can find out itself (an authority that vouches, TLSA records that match) has ended it already where it
went wrong; the rest is found here: names, fingerprints, and TLSA records where OpenSSL cannot be told about them.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass

from pillarbox.lib.tls import native
from pillarbox.lib.tls.association import Mismatch, authenticate
from pillarbox.lib.tls.client import Demand
from pillarbox.lib.tls.der import public_key_info
from pillarbox.lib.tls.description import PeerStatus
from pillarbox.lib.tls.handshake import Plan, peer_chain
from pillarbox.lib.tls.hostname import certified_names, matches

HOST_MISMATCH, NO_FINGERPRINT = 62, 65
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_DANE_NO_MATCH of <openssl/x509_vfy.h>."""


class Unverified(Exception):
    """The certificate is not one that it should be.  `code` is OpenSSL's number for the reason."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Digests, lower-case hexadecimal, of which a certificate or its public key must have one."""

    digest: str
    wanted: frozenset[str]


def examine(
    session: ssl.SSLObject,
    demand: Demand,
    plan: Plan,
    now: float,
    *,
    fingerprints: Fingerprints | None = None,
    common_name: bool = True,
) -> PeerStatus:
    """How well the server is known: the first word of the log line.  Raises Unverified.

    A resumed session was examined when it began (see `sessions`).
    """
    if demand.trust == "associations":
        if not plan.held and not session.session_reused:
            _compare(session, plan, now)
        return "Verified"
    if demand.trust == "authorities":
        if not session.session_reused:
            names = certified_names(session.getpeercert() or {}, common_name=common_name)
            if not matches(plan.names, names):
                shown = ", ".join(names[:5]) or "no name"
                raise Unverified(HOST_MISMATCH, f"the certificate is for {shown}, not for {', '.join(plan.names)}")
        return "Verified"
    certificate = session.getpeercert(binary_form=True)
    if fingerprints is not None:
        if certificate is None or not _has_fingerprint(certificate, fingerprints):
            raise Unverified(NO_FINGERPRINT, "the certificate has none of the fingerprints that it should have")
        return "Verified"
    if certificate is None:
        return "Anonymous"
    return "Trusted" if demand.trust == "noted" and _vouched(session) else "Untrusted"


def _compare(session: ssl.SSLObject, plan: Plan, now: float) -> None:
    if session.context.verify_mode != ssl.CERT_NONE:  # OpenSSL was to compare, and was not told what with
        raise Unverified(NO_FINGERPRINT, "OpenSSL did not take the TLSA records")
    try:
        authenticate(peer_chain(session), plan.associations, plan.names, now)
    except Mismatch as mismatch:
        raise Unverified(mismatch.code, str(mismatch)) from None


def _has_fingerprint(certificate: bytes, fingerprints: Fingerprints) -> bool:
    try:
        subjects = (certificate, public_key_info(certificate))
    except ValueError:
        subjects = (certificate, certificate)
    return any(
        hashlib.new(fingerprints.digest, subject, usedforsecurity=False).hexdigest() in fingerprints.wanted
        for subject in subjects
    )


def _vouched(session: ssl.SSLObject) -> bool:
    library = native.library()
    address = native.session_address(session) if library is not None else 0
    return bool(library is not None and address and library.SSL_get_verify_result(address) == 0)
