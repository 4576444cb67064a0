"""TLS to the servers of tables: contexts that are made, keys included, before the process gives up its rights."""

from __future__ import annotations

import functools
import ssl


def client_context(
    *,
    verify: bool,
    names: bool,
    ca_file: str = "",
    ca_path: str = "",
    certificate: str = "",
    key: str = "",
    ciphers: str = "",
) -> ssl.SSLContext:
    """`verify`: the server's certificate must be signed by one of the authorities (the system's, unless files are
    named); `names`: and be for the server's name.  Raises ValueError naming the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = names
    context.verify_mode = ssl.CERT_REQUIRED if verify or names else ssl.CERT_NONE
    try:
        if ca_file or ca_path:
            context.load_verify_locations(ca_file or None, ca_path or None)
        elif verify or names:
            context.load_default_certs()
    except OSError as error:  # SSLError among them
        raise ValueError(f"{ca_file or ca_path}: certificates in PEM format were expected: {_said(error)}") from None
    try:
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except PermissionError:
        raise
    except OSError as error:
        raise ValueError(f"{certificate}, {key}: a certificate and its key were expected: {_said(error)}") from None
    try:
        if ciphers:
            context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise ValueError(f'"{ciphers}": a list of ciphers as OpenSSL writes it was expected') from None
    return context


@functools.cache
def opportunistic() -> ssl.SSLContext:
    """TLS with whoever answers: better than none where nothing else was asked for."""
    return client_context(verify=False, names=False)


def _said(error: OSError) -> str:
    return error.strerror or str(error)
