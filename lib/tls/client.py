"""Contexts under which the SMTP client speaks TLS, one per security level (postconf(5) `smtp_tls_security_level`)."""

from __future__ import annotations

import ssl

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.tls import (
    SMTP_TLS_CAFILE,
    SMTP_TLS_CAPATH,
    SMTP_TLS_CERT_FILE,
    SMTP_TLS_KEY_FILE,
    SMTP_TLS_PROTOCOLS,
)
from pillarbox.lib.tls.chains import load_certificate
from pillarbox.lib.tls.errors import TlsError
from pillarbox.lib.tls.protocols import parse_versions

LEVELS = ("none", "may", "encrypt", "verify", "secure")
"""`none`: no TLS; `may`: if offered, unverified (RFC 7435); `encrypt`: mandatory, unverified; `verify` and `secure`:
mandatory, with a certificate of a trusted authority for the name that the caller passes as `server_hostname`."""


def is_verifying(level: str) -> bool:
    """Whether a handshake at `level` fails when the peer's certificate does not prove its name."""
    return level in ("verify", "secure")


def client_context(config: Config, level: str, *, authorities: str = "") -> ssl.SSLContext:
    """The context for `level`, to be made once per process and level.

    Pass the peer's name as `server_hostname` at every level: it is sent as SNI, and compared at the verifying ones
    (for `verify` the MX host name, for `secure` the next-hop domain).  `authorities` are PEM texts to trust instead of
    those in files, for a process that may read none.  Raises `TlsError` for unusable parameters.
    """
    if level not in LEVELS or level == "none":
        raise TlsError(f'"{level}" is no TLS security level with TLS; use one of {", ".join(LEVELS[1:])}')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    parse_versions(config[SMTP_TLS_PROTOCOLS]).apply(context)
    context.options |= ssl.OP_NO_COMPRESSION
    if is_verifying(level):
        _load_authorities(context, config, authorities)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := config[SMTP_TLS_CERT_FILE]:
        load_certificate(context, certificate, config[SMTP_TLS_KEY_FILE] or certificate)
    return context


def _load_authorities(context: ssl.SSLContext, config: Config, authorities: str) -> None:
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities)
        except ssl.SSLError as error:
            raise TlsError(f"cannot read the certification authorities: {error}") from None
        return
    file, directory = config[SMTP_TLS_CAFILE] or None, config[SMTP_TLS_CAPATH] or None
    if file is None and directory is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        context.load_verify_locations(file, directory)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"cannot read the certification authorities in {file or directory}: {error}") from None
