"""Certificate chains with their keys: read from files into a context.

To be done before privileges are dropped: keys are read here and never again.  Promises: an error names the file at
fault; an encrypted key is an error, never a question at a terminal.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd_tls import SMTPD_TLS_CERT_FILE, SMTPD_TLS_CHAIN_FILES, SMTPD_TLS_KEY_FILE
from pillarbox.lib.tls.errors import TlsError

SIZE_LIMIT = 1024 * 1024
"""Bytes of one file: a chain of ten certificates has about twenty thousand."""

_KEY = re.compile(rb"^-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a certificate with its intermediates, and its key, are; both may be one file, also with several chains."""

    certificate: str
    key: str

    @property
    def files(self) -> tuple[str, ...]:
        """The files, each once."""
        return (self.certificate,) if self.certificate == self.key else (self.certificate, self.key)


def configured_chains(config: Config) -> tuple[Chain, ...]:
    """The chains that clients get who ask for no name; empty where there is none."""
    if files := config[SMTPD_TLS_CHAIN_FILES]:
        return tuple(Chain(file, file) for file in files)
    certificate = config[SMTPD_TLS_CERT_FILE]
    if not certificate:
        return ()
    untouched = config.raw(SMTPD_TLS_CERT_FILE.name) == SMTPD_TLS_CERT_FILE.default_raw()
    if untouched and not Path(certificate).exists():
        return ()
    return (Chain(certificate, config[SMTPD_TLS_KEY_FILE] or certificate),)


def load_chains(context: ssl.SSLContext, chains: Iterable[Chain]) -> None:
    """Add chains to a context, one per kind of key.  Raises `TlsError`."""
    for chain in chains:
        if chain.certificate != chain.key:
            load_certificate(context, chain.certificate, chain.key)
            continue
        parts = _parts(_read(chain.certificate))
        if len(parts) < 2:
            load_certificate(context, chain.certificate, chain.key)
            continue
        for part in parts:
            load_part(context, chain.certificate, part)


def read_chains(chains: Iterable[Chain]) -> tuple[tuple[str, bytes], ...]:
    """What `load_part` loads, one kind of key each, for a process that may read no file later.  Raises `TlsError`."""
    found: list[tuple[str, bytes]] = []
    for chain in chains:
        if chain.certificate != chain.key:
            found.append((chain.certificate, _read(chain.key) + b"\n" + _read(chain.certificate)))
            continue
        content = _read(chain.certificate)
        found += [(chain.certificate, part) for part in _parts(content) or [content]]
    return tuple(found)


def _parts(content: bytes) -> list[bytes]:
    starts = [match.start() for match in _KEY.finditer(content)]
    if len(starts) < 2:
        return []
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Add a certificate chain with its key; raises `TlsError` naming the file at fault."""
    for name in (certificate, key):
        try:
            Path(name).open("rb").close()
        except OSError as error:
            raise TlsError(f"cannot read the certificate or key {name}: {error.strerror}") from None
    _load(context, certificate, key, certificate, key)


def _read(name: str) -> bytes:
    try:
        with Path(name).open("rb") as stream:
            content = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise TlsError(f"cannot read the certificate or key {name}: {error.strerror}") from None
    if len(content) > SIZE_LIMIT:
        raise TlsError(f"{name} is too large for a file of certificates and keys")
    return content


def load_part(context: ssl.SSLContext, name: str, content: bytes) -> None:
    """Add one chain with its key: OpenSSL reads files only, so it gets one in memory.  Raises `TlsError`."""
    descriptor = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        part = f"/proc/self/fd/{descriptor}"
        _load(context, part, part, name, name)
    finally:
        os.close(descriptor)


def _load(context: ssl.SSLContext, certificate: str, key: str, certificate_name: str, key_name: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError, OSError) as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise TlsError(f"the key in {key_name} does not belong to the certificate in {certificate_name}") from None
        raise TlsError(f"{certificate_name} with {key_name} is no usable PEM certificate and key ({error})") from None
