"""Which ciphers a context offers for TLS 1.2 and older: a grade and what is excluded from it (postconf(5))."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd_tls import (
    SMTPD_TLS_CIPHERS,
    SMTPD_TLS_EXCLUDE_CIPHERS,
    SMTPD_TLS_MANDATORY_CIPHERS,
    SMTPD_TLS_MANDATORY_EXCLUDE_CIPHERS,
    TLS_HIGH_CIPHERLIST,
    TLS_MEDIUM_CIPHERLIST,
)
from pillarbox.lib.tls.errors import TlsError

_LISTS = {"high": TLS_HIGH_CIPHERLIST, "medium": TLS_MEDIUM_CIPHERLIST}


def cipher_list(config: Config, grade: str, excluded: Iterable[str]) -> str:
    """The OpenSSL list of a grade without what is excluded."""
    return ":".join((config[_LISTS[grade]], *(f"!{name.removeprefix('!')}" for name in excluded)))


def set_ciphers(context: ssl.SSLContext, config: Config, *, mandatory: bool) -> None:
    """Restrict `context` to the configured ciphers.  Raises `TlsError` where none is left."""
    grade = config[SMTPD_TLS_MANDATORY_CIPHERS if mandatory else SMTPD_TLS_CIPHERS]
    excluded = config[SMTPD_TLS_EXCLUDE_CIPHERS]
    if mandatory:
        excluded = (*excluded, *config[SMTPD_TLS_MANDATORY_EXCLUDE_CIPHERS])
    parameter = _LISTS[grade]
    choice = cipher_list(config, grade, excluded)
    try:
        context.set_ciphers(choice)
    except ssl.SSLError:
        why = " after the exclusions" if excluded else ""
        raise TlsError(f"{parameter.name}: OpenSSL knows no cipher in this list{why}: {choice}") from None
