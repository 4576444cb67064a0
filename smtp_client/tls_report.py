"""Tells the room `tlsrpt` how TLS with other domains' servers went, where reports are wanted (RFC 8460)."""

from __future__ import annotations

from pillarbox.lib.clients.tlsrpt import AsyncTlsReportClient, TlsOutcome
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.tlsrpt import SMTP_TLSRPT_ENABLE
from pillarbox.smtp_client.agreement import Basis
from pillarbox.smtp_client.route import Server

# <openssl/x509_vfy.h>
_EXPIRED = frozenset({9, 10})
_HOST_MISMATCH = frozenset({62, 63, 64})


def result_of(code: int) -> str:
    """The result type (section 4.3.1) for OpenSSL's number of what is wrong with a certificate."""
    if code in _EXPIRED:
        return "certificate-expired"
    return "certificate-host-mismatch" if code in _HOST_MISMATCH else "certificate-not-trusted"


class TlsReport:
    """One service's reports; without smtp_tlsrpt_enable nothing happens."""

    def __init__(self, config: Config) -> None:
        self._client = AsyncTlsReportClient(config) if config[SMTP_TLSRPT_ENABLE] else None

    def succeeded(self, domain: str, server: Server, basis: Basis, local: str) -> None:
        """TLS came about as it was asked for."""
        if self._client is not None and basis.counted:
            self._client.record(self._outcome(domain, server, basis, "", local, "", ""))

    def failed(
        self,
        domain: str,
        server: Server | None,
        basis: Basis,
        result: str,
        details: str,
        *,
        local: str = "",
        code: str = "",
    ) -> None:
        """It did not; `result` is one of the types of section 4.3, `code` further words of OpenSSL's."""
        if self._client is not None and basis.counted:
            self._client.record(self._outcome(domain, server, basis, result, local, details, code))

    @staticmethod
    def _outcome(
        domain: str, server: Server | None, basis: Basis, result: str, local: str, details: str, code: str
    ) -> TlsOutcome:
        return TlsOutcome(
            policy_domain=domain.lower(),
            policy_type=basis.type,
            policy_string=basis.strings,
            mx_host=basis.mx,
            failure=result,
            sending_mta_ip=local,
            receiving_mx=server.host if server is not None else "",
            receiving_ip=server.address if server is not None else "",
            details=details,
            reason_code=code,
        )
