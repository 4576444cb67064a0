"""Everything about TLS that the deliveries of one process share."""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.mta_sts import SMTP_MTA_STS
from pillarbox.lib.config.parameters.tlsrpt import SMTP_TLSRPT_ENABLE
from pillarbox.lib.dns import Resolver
from pillarbox.smtp_client.agreement import NO_TLS, agree
from pillarbox.smtp_client.policies import TlsPolicies
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.securing import Securing
from pillarbox.smtp_client.tables import Tables
from pillarbox.smtp_client.tls_policy import DANE_LEVELS
from pillarbox.smtp_client.tls_report import TlsReport


def asks_services(config: Config) -> bool:
    """Whether other rooms have to be asked or told something about TLS."""
    return config[SMTP_MTA_STS] or config[SMTP_TLSRPT_ENABLE]


_ANYONE = Server("localhost", "", 0)


class Tls:
    """To be made before confinement: certificates, keys and authorities are read."""

    def __init__(self, config: Config, tables: Tables, authentic: Callable[[], Resolver], *, lmtp: bool) -> None:
        """Raises ValueError or TlsError, which name what is wrong."""
        report = TlsReport(config)
        self.policies = TlsPolicies(config, tables, authentic, report, lmtp=lmtp)
        self.securing = Securing(config, report)
        if self.policies.default.level in DANE_LEVELS:
            authentic()  # its libraries are loaded, and its trust anchors are found to be good
            return
        # The context that nearly every connection has is made now, so that mistakes are found now.
        agreement = agree(self.policies.default, _ANYONE, "localhost", None, noted=self.policies.noted)
        while agreement is not NO_TLS:
            self.securing.check(agreement)
            agreement = agreement.otherwise or NO_TLS
