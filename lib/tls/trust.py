"""Client certificates: which authorities are trusted, and what becomes of certificates that none of them vouches for.

Where clients are only asked, any certificate is taken whose key the client proves to have: whether it is trusted is
known afterwards (`peer.client_certificate`), and an untrusted one is still good for its fingerprint (postconf(5),
`smtpd_tls_ask_ccert`).  The `ssl` module cannot do that; a verify callback set behind its back can.  Where that is not
possible, a client with an untrusted certificate gets no TLS session, and a line in the log says so at start.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd_tls import (
    SMTPD_TLS_CAFILE,
    SMTPD_TLS_CAPATH,
    SMTPD_TLS_CCERT_VERIFYDEPTH,
    TLS_APPEND_DEFAULT_CA,
)
from pillarbox.lib.log import log
from pillarbox.lib.tls import native
from pillarbox.lib.tls.errors import TlsError
from pillarbox.lib.tls.roles import ServerRole

SSL_VERIFY_PEER = 1  # <openssl/ssl.h>


def _go_on(_good: int, _store: int | None) -> int:
    """Whatever was found; the library keeps the finding as the session's verify result."""
    return 1


_TAKE_ANY = native.VERIFY_CALLBACK(_go_on)
"""Kept for as long as the process lives: contexts call it."""

_told: list[str] = []


def ask_clients(context: ssl.SSLContext, config: Config, role: ServerRole) -> None:
    """Make `context` ask for client certificates as the role says.  Raises `TlsError`."""
    if not role.asks:
        return
    context.verify_mode = ssl.CERT_REQUIRED if role.requires else ssl.CERT_OPTIONAL
    for file in authority_files(config):
        _load(context, file)
    if config[TLS_APPEND_DEFAULT_CA] and (config[SMTPD_TLS_CAFILE] or config[SMTPD_TLS_CAPATH]):
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    library = native.library()
    if library is None:
        if not _told:
            _told.append("")
            log.warning("untrusted client certificates end the handshake: this ssl module cannot be told otherwise")
        return
    address = native.context_address(context)
    library.SSL_CTX_set_verify_depth(address, config[SMTPD_TLS_CCERT_VERIFYDEPTH])
    if not role.requires:
        library.SSL_CTX_set_verify(address, SSL_VERIFY_PEER, _TAKE_ANY)


def authority_files(config: Config) -> tuple[str, ...]:
    """The files with the authorities that are trusted for client certificates.  Raises `TlsError`."""
    files = [config[SMTPD_TLS_CAFILE]] if config[SMTPD_TLS_CAFILE] else []
    if folder := config[SMTPD_TLS_CAPATH]:
        try:
            names = sorted(entry for entry in Path(folder).iterdir() if entry.is_file())
        except OSError as error:
            raise TlsError(f"{SMTPD_TLS_CAPATH.name}: cannot read {folder}: {error.strerror}") from None
        files += [str(name) for name in names if _has_certificate(name)]
    return tuple(files)


def trust_identity(config: Config, role: ServerRole) -> str:
    """What says whom we trust, as a text; "" where nobody is asked.  Raises `TlsError`.

    A resumed session takes over what was found out about the client's certificate, so it must not outlive a change.
    """
    if not role.asks:
        return ""
    digest = hashlib.sha256()
    for file in authority_files(config):
        try:
            digest.update(Path(file).read_bytes())
        except OSError as error:
            raise TlsError(f"cannot read {file}: {error.strerror}") from None
    return f"{digest.hexdigest()} {config[SMTPD_TLS_CCERT_VERIFYDEPTH]} {config[TLS_APPEND_DEFAULT_CA]}"


def _has_certificate(name: Path) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in name.read_bytes()
    except OSError:
        return False


def _load(context: ssl.SSLContext, file: str) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TlsError(f"cannot read the certification authorities in {file}: {why}") from None
