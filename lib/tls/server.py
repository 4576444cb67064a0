"""The context under which every server of the suite speaks TLS.

To be made before privileges are dropped (a program's `prepare`): the key is read here and never again.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.tls import (
    SMTPD_TLS_CERT_FILE,
    SMTPD_TLS_CHAIN_FILES,
    SMTPD_TLS_KEY_FILE,
    SMTPD_TLS_PROTOCOLS,
    TLS_HIGH_CIPHERLIST,
)
from pillarbox.lib.tls.errors import TlsError
from pillarbox.lib.tls.protocols import parse_versions

TICKETS = 1
"""Session tickets sent per TLS 1.3 handshake; OpenSSL's two only help clients that open connections in parallel."""


def server_context(config: Config, *, alpn: tuple[str, ...] = ()) -> ssl.SSLContext | None:
    """A context with the configured certificates, or None where there is none.

    None also where nothing was configured and the instance has no certificate of its own.  Raises `TlsError` for
    a file that is missing, unreadable or not what it should be.
    """
    pairs = _certificate_files(config)
    if not pairs:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    parse_versions(config[SMTPD_TLS_PROTOCOLS]).apply(context)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = TICKETS
    try:
        context.set_ciphers(config[TLS_HIGH_CIPHERLIST])
    except ssl.SSLError:
        raise TlsError(f"{TLS_HIGH_CIPHERLIST.name}: OpenSSL knows no cipher in this list") from None
    for certificate, key in pairs:
        load_certificate(context, certificate, key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _certificate_files(config: Config) -> tuple[tuple[str, str], ...]:
    chains = config[SMTPD_TLS_CHAIN_FILES]
    if chains:
        return tuple((chain, chain) for chain in chains)
    certificate = config[SMTPD_TLS_CERT_FILE]
    if not certificate:
        return ()
    untouched = config.raw(SMTPD_TLS_CERT_FILE.name) == SMTPD_TLS_CERT_FILE.default_raw()
    if untouched and not Path(certificate).exists():
        return ()
    return ((certificate, config[SMTPD_TLS_KEY_FILE] or certificate),)


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Add a certificate chain with its key; raises `TlsError` naming the file at fault."""
    for name in (certificate, key):
        try:
            Path(name).open("rb").close()
        except OSError as error:
            raise TlsError(f"cannot read the certificate or key {name}: {error.strerror}") from None
    try:
        # An encrypted key must not stop a daemon at a terminal prompt: the empty password makes it an error.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError, OSError) as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise TlsError(f"the key in {key} does not belong to the certificate in {certificate}") from None
        raise TlsError(f"{certificate} with {key} is no usable PEM certificate and key ({error})") from None
