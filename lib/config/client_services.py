"""What a service of the SMTP client is by its configuration: which protocol it speaks, which passwords it has.

Known outside that program too: master watches the files of the passwords, `pillarbox check` reads them.
"""

from __future__ import annotations

from pillarbox.lib.config.parameters.smtp_client import SMTP_CLIENT_PROTOCOL
from pillarbox.lib.config.parameters.smtp_client_sasl import SMTP_SASL_AUTH_ENABLE, SMTP_SASL_PASSWORD_MAPS
from pillarbox.lib.config.values import Config

PROGRAM = "smtp_client"


def is_lmtp(config: Config, service: str) -> bool:
    """Whether a service speaks LMTP."""
    protocol = config[SMTP_CLIENT_PROTOCOL]
    return service.startswith("lmtp") if protocol == "auto" else protocol == "lmtp"


def config_of(config: Config, service: str) -> Config:
    """A service's configuration with what is set for its protocol: `lmtp_X` instead of `smtp_X`."""
    return config.for_lmtp() if is_lmtp(config, service) else config


def password_tables(config: Config, service: str) -> tuple[str, ...]:
    """The tables with the names and passwords of a service; none where it does not log in."""
    config = config_of(config, service)
    return config[SMTP_SASL_PASSWORD_MAPS] if config[SMTP_SASL_AUTH_ENABLE] else ()
