"""What a service wants of TLS: whether at all, demanded or offered, and whether clients are asked for a certificate."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.login import (
    LOGIN_TLS_ASK_CCERT,
    LOGIN_TLS_SECURITY_LEVEL,
    LOGIN_TLS_WRAPPERMODE,
)
from pillarbox.lib.config.parameters.smtpd_tls import (
    SMTPD_TLS_ASK_CCERT,
    SMTPD_TLS_REQ_CCERT,
    SMTPD_TLS_SECURITY_LEVEL,
    SMTPD_TLS_WRAPPERMODE,
)


@dataclass(frozen=True, slots=True)
class ServerRole:
    """One service's use of TLS."""

    mandatory: bool = False
    """Whether there is no service without it: the mandatory protocols and ciphers count."""
    asks: bool = False
    """Whether clients are asked for a certificate."""
    requires: bool = False
    """Whether only trusted clients get a session."""
    alpn: tuple[str, ...] = ()
    """The protocols that are agreed on where a client names any (RFC 7301)."""


def smtp_role(config: Config) -> ServerRole | None:
    """The role of an SMTP or LMTP service; None where it does not speak TLS."""
    level, wrapper = config[SMTPD_TLS_SECURITY_LEVEL], config[SMTPD_TLS_WRAPPERMODE]
    if level == "none" and not wrapper:
        return None
    mandatory = wrapper or level == "encrypt"
    requires = config[SMTPD_TLS_REQ_CCERT]
    return ServerRole(mandatory, requires or config[SMTPD_TLS_ASK_CCERT], requires and mandatory)


def login_role(config: Config, alpn: tuple[str, ...] = ()) -> ServerRole | None:
    """The role of the login part of a service for mail access; None where it does not speak TLS."""
    level, wrapper = config[LOGIN_TLS_SECURITY_LEVEL], config[LOGIN_TLS_WRAPPERMODE]
    if level == "none" and not wrapper:
        return None
    return ServerRole(wrapper or level == "encrypt", config[LOGIN_TLS_ASK_CCERT], alpn=alpn)
