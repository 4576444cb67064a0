"""The handshake with one server, and whether its outcome is what was agreed on.

Everything about TLS that a process shares: contexts, sessions to resume, the reports.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Hashable

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import tls as p
from pillarbox.lib.config.parameters.smtp_client import SMTP_STARTTLS_TIMEOUT, SMTP_TLS_LOGLEVEL
from pillarbox.lib.log import log
from pillarbox.lib.tls import ClientContexts, ClientMaterial, TlsError, cipher_text
from pillarbox.lib.tls.examination import Unverified, examine
from pillarbox.lib.tls.handshake import Plan, planned
from pillarbox.lib.tls.sessions import SessionCache
from pillarbox.smtp_client.agreement import Agreement
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.dialling import reason_of
from pillarbox.smtp_client.tls_report import TlsReport, result_of


class TlsFailed(Exception):
    """There is no TLS, or none with the right server (`stranger`); the conversation is over."""

    def __init__(self, text: str, *, stranger: bool = False) -> None:
        super().__init__(text)
        self.stranger = stranger


class Securing:
    """For one service."""

    def __init__(self, config: Config, report: TlsReport) -> None:
        """Reads certificates, keys and authorities, so to be made before confinement.  Raises TlsError."""
        self._contexts = ClientContexts(ClientMaterial.read(config))
        self._sessions = SessionCache(
            config[p.SMTP_TLS_SESSION_CACHE_SIZE], config[p.SMTP_TLS_SESSION_CACHE_TIMEOUT], time.monotonic
        )
        self._report = report
        self._timeout = config[SMTP_STARTTLS_TIMEOUT]
        self._logs = config[SMTP_TLS_LOGLEVEL] > 0

    def check(self, agreement: Agreement) -> None:
        """Make the context for an agreement now, to find out that it can be made.  Raises TlsError."""
        if agreement.demand is not None:
            self._contexts.get(agreement.demand)

    async def handshake(
        self, connection: Connection, agreement: Agreement, domain: str, *, wrapped: bool = False
    ) -> None:
        """TLS from here on; `wrapped`: before the greeting.  Raises TlsFailed."""
        server, demand = connection.server, agreement.demand
        assert demand is not None
        try:
            context = self._contexts.get(demand)
        except TlsError as error:
            log.warning(f"client TLS configuration problem: {error}")
            raise TlsFailed("client TLS configuration problem") from None
        key = self._key(connection, agreement)
        names = tuple(name for name in agreement.names if name.isascii())
        connection.resumed = self._sessions.take(key, context)
        plan = Plan(connection.resumed.session if connection.resumed else None, agreement.associations, names)
        try:
            with planned(context, plan) as carrier:
                await connection.start_tls(carrier, agreement.sni or None, self._timeout, wrapped=wrapped)
            session = connection.ssl_object
            assert session is not None
            status = examine(
                session,
                demand,
                plan,
                time.time(),
                fingerprints=agreement.fingerprints,
                common_name=agreement.common_name,
            )
        except ssl.SSLCertVerificationError as error:
            raise self._unverified(connection, agreement, domain, error.verify_code, error.verify_message) from None
        except Unverified as error:
            raise self._unverified(connection, agreement, domain, error.code, error.text) from None
        except (OSError, TimeoutError, ValueError) as error:
            reason = _reason(error)
            log.info(f"SSL_connect error to {server.relay}: {reason}")
            self.failed(connection, agreement, domain, "validation-failure", reason)
            raise TlsFailed("handshake failure") from None
        connection.tls = cipher_text(session)
        if self._logs:
            reused = " (resumed)" if session.session_reused else ""
            log.info(f"{status} TLS connection established to {server.relay}: {connection.tls}{reused}")

    def keep(self, connection: Connection, agreement: Agreement, domain: str) -> None:
        """The first words inside TLS were said: the session can be resumed another time, and counts as a success."""
        session = connection.ssl_object
        if session is not None:
            self._sessions.put(self._key(connection, agreement), session, connection.resumed)
        self._report.succeeded(domain, connection.server, agreement.basis, connection.local_address)

    def failed(
        self, connection: Connection, agreement: Agreement, domain: str, result: str, details: str, code: str = ""
    ) -> None:
        """TLS did not come about; the domain may hear of it."""
        self._report.failed(
            domain, connection.server, agreement.basis, result, details, local=connection.local_address, code=code
        )

    def _unverified(self, connection: Connection, agreement: Agreement, domain: str, code: int, text: str) -> TlsFailed:
        server = connection.server
        log.info(f"Untrusted TLS connection refused to {server.relay}: {text}")
        self.failed(connection, agreement, domain, result_of(code), text, f"X509_V_ERR {code}")
        return TlsFailed(f"server certificate not verified: {text}", stranger=True)

    @staticmethod
    def _key(connection: Connection, agreement: Agreement) -> Hashable:
        server = connection.server
        return (
            server.key,
            server.host,
            agreement.sni,
            agreement.demand,
            agreement.names,
            agreement.associations,
            agreement.fingerprints,
            agreement.common_name,
        )


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return reason_of(error) or type(error).__name__
