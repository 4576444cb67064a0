"""What a server knows of a TLS session once the handshake is done: for policy, log and trace fields."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import lru_cache

from pillarbox.lib.tls.description import cipher_text
from pillarbox.lib.tls.details import client_signature_text, exchange_text
from pillarbox.lib.tls.names import name_of
from pillarbox.lib.tls.peer import ClientCertificate, client_certificate


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """One session.  Sessions that are alike in everything share one object."""

    protocol: str
    """`TLSv1.3`."""
    cipher: str
    """`TLS_AES_256_GCM_SHA384`."""
    bits: int
    """The secret bits in use."""
    text: str
    """`TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`."""
    exchange: str
    """`key-exchange X25519 server-signature ...`, or "" where that is not known."""
    name: str
    """The name (SNI) for which the client got a certificate of its own, or ""."""
    asked: bool
    """Whether the client was asked for a certificate."""
    certificate: ClientCertificate | None = None

    @property
    def status(self) -> str:
        """The first word of `Trusted TLS connection established from ...`."""
        if self.certificate is None:
            return "Anonymous"
        return "Trusted" if self.certificate.trusted else "Untrusted"

    @property
    def details(self) -> str:
        """Everything that the log says behind the client's name."""
        return f"{self.text} {self.exchange}" if self.exchange else self.text

    @property
    def presence(self) -> str:
        """What a trace field says about the client's certificate, without the parentheses around it."""
        if (certificate := self.certificate) is not None:
            word = "verified OK" if certificate.trusted else "not verified"
            return f'Client CN "{certificate.subject}", Issuer "{certificate.issuer}" ({word})'
        return "Client did not present a certificate" if self.asked else "No client certificate requested"


def tls_facts(session: ssl.SSLObject, digest: str) -> TlsFacts:
    """The facts of a session whose handshake is done; `digest` is that of fingerprints."""
    name, _, bits = session.cipher() or ("", "", 0)
    asked = session.context.verify_mode != ssl.CERT_NONE
    certificate = client_certificate(session, digest) if asked else None
    exchange = exchange_text(session)
    if certificate is None:
        return _anonymous(session.version() or "", name, bits, cipher_text(session), exchange, name_of(session), asked)
    if signed := client_signature_text(session):
        exchange = f"{exchange} {signed}" if exchange else signed
    return TlsFacts(
        session.version() or "", name, bits, cipher_text(session), exchange, name_of(session), asked, certificate
    )


@lru_cache(maxsize=256)
def _anonymous(protocol: str, cipher: str, bits: int, text: str, exchange: str, name: str, asked: bool) -> TlsFacts:
    return TlsFacts(protocol, cipher, bits, text, exchange, name, asked)
