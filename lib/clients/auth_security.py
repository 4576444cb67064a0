"""What the auth service is told of a client's TLS session: channel bindings, and the certificate that it has shown."""

from __future__ import annotations

import ssl

from pillarbox.lib.clients.auth_messages import NO_SECURITY, ClientCertificate, Security
from pillarbox.lib.tls import channel_bindings, client_certificate

DIGEST = "sha256"
"""Of fingerprints in the account database, whatever smtpd_tls_fingerprint_digest is for other purposes."""


def channel_security(session: ssl.SSLObject | None) -> Security:
    """Of a server's session whose handshake is done; of None, nothing."""
    if session is None:
        return NO_SECURITY
    certificate = None
    if session.context.verify_mode != ssl.CERT_NONE and (shown := client_certificate(session, DIGEST)) is not None:
        certificate = ClientCertificate(shown.fingerprint, shown.pubkey_fingerprint, shown.trusted, shown.emails)
    return Security(channel_bindings(session), certificate)
