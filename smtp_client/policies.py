"""Finds the TLS policy of a destination, and what follows from it for each of its servers.

    configured     what the parameters and tables say; enough to look for servers
    open           whether the domain itself may have published more than that (MTA-STS)
    complete       with that: asked for when a server has greeted, so that domains that are dead cost no question
    for_server     what is demanded of one server

Where nothing but a level is configured, and MTA-STS is off, the answer is one object for all, found without a question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.mta_sts import AsyncMtaStsClient, PolicyUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import tls as p
from pillarbox.lib.config.parameters.mta_sts import SMTP_MTA_STS
from pillarbox.lib.config.parameters.smtp_client import SMTP_TLS_LOGLEVEL, SMTP_TLS_SECURITY_LEVEL, TLS_REQUIRED_ENABLE
from pillarbox.lib.delivery import DeliveryRequest
from pillarbox.lib.dns import Resolver
from pillarbox.lib.log import log
from pillarbox.lib.tls.anchors import read_anchors
from pillarbox.smtp_client.agreement import Agreement, Basis, Unprotected, agree, basis_of
from pillarbox.smtp_client.dane import DaneUnknown, find_records
from pillarbox.smtp_client.destination import Destination
from pillarbox.smtp_client.protection import insists, says_not_required
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.tables import Tables
from pillarbox.smtp_client.tls_policy import DANE_LEVELS, BadPolicy, PolicyReader, TlsPolicy
from pillarbox.smtp_client.tls_report import TlsReport


class NoPolicy(Exception):
    """What TLS a destination must have cannot be said now: its mail waits."""

    def __init__(self, dsn: str, text: str) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text


def configured_reader(config: Config) -> PolicyReader:
    """What reads the entries of a service's policy tables.  Raises TlsError, BadPolicy."""
    anchors = tuple(record for file in config[p.SMTP_TLS_TRUST_ANCHOR_FILE] for record in read_anchors(file))
    files = {file: read_anchors(file) for file in config[p.SMTP_TLS_POLICY_FILES]}
    return PolicyReader(config, config[SMTP_TLS_SECURITY_LEVEL], anchors, files)


class TlsPolicies:
    """For one service.  `authentic` gives the resolver whose answers are genuine where they say so."""

    def __init__(
        self, config: Config, tables: Tables, authentic: Callable[[], Resolver], report: TlsReport, *, lmtp: bool
    ) -> None:
        """Reads files, so to be made before confinement.  Raises TlsError, BadPolicy."""
        self._reader = configured_reader(config)
        self._tables = tables
        self._asks_tables = bool(config[p.SMTP_TLS_POLICY_MAPS])
        self._sts = AsyncMtaStsClient(config) if config[SMTP_MTA_STS] and not lmtp else None
        self._honours_header = config[TLS_REQUIRED_ENABLE]
        self._insecure_mx = config[p.SMTP_TLS_DANE_INSECURE_MX_POLICY]
        self._digest = config[p.SMTP_TLS_FINGERPRINT_DIGEST]
        self.noted = bool(config[SMTP_TLS_LOGLEVEL] and (config[p.SMTP_TLS_CAFILE] or config[p.SMTP_TLS_CAPATH]))
        self._authentic = authentic
        self._report = report
        self.default = self._reader.default
        self._by_header = replace(self._reader.at("may"), origin="header")

    async def configured(self, text: str, destination: Destination) -> TlsPolicy:
        """The policy for a next hop, which is written as `text`, as far as we say.  Raises NoPolicy."""
        if self._asks_tables:
            return await self._from_tables(text, destination) or self.default
        return self.default

    def open(self, policy: TlsPolicy, destination: Destination) -> bool:
        """Whether a configured policy may become a stricter one by the domain's own."""
        return (
            self._sts is not None and policy.origin == "default" and policy.level in _BELOW_STS and destination.use_mx
        )

    async def complete(self, policy: TlsPolicy, destination: Destination, request: DeliveryRequest) -> TlsPolicy:
        """The policy for one message, from the configured one of its destination.  Raises NoPolicy."""
        if self._sts is not None and self.open(policy, destination):
            try:
                sts = await self._sts.policy(destination.host)
            except PolicyUnavailable as error:  # as if there were none (RFC 8461 section 5)
                policy = replace(policy, sts_unknown=request.requiretls)
                if error.result:
                    self._report.failed(destination.host, None, Basis("sts"), error.result, error.reason)
            else:
                if sts is not None and sts.mode != "none":
                    policy = replace(policy, sts=sts)
        if request.requiretls and insists(request):
            policy = replace(policy, insists=True)
        elif policy.demands and self._honours_header and not request.requiretls and self._waived(request):
            return self._by_header
        return replace(policy, domain=destination.host.lower()) if policy.named or policy.sts is not None else policy

    @staticmethod
    def _waived(request: DeliveryRequest) -> bool:
        try:
            return says_not_required(request)
        except (OSError, EOFError) as error:
            raise NoPolicy("4.3.0", f"cannot read the queue file: {error}") from None

    async def for_server(self, policy: TlsPolicy, server: Server, domain: str) -> Agreement:
        """What is asked of one server of a destination.  Raises Unprotected."""
        published = None
        try:
            if policy.level in DANE_LEVELS and self._may_have_records(policy, server):
                published = await find_records(self._authentic(), server)
                if published is not None and not published.usable and policy.level == "dane":
                    self._report.failed(domain, server, basis_of(published), "tlsa-invalid", "no usable TLSA record")
            found = agree(
                policy,
                server,
                domain,
                published,
                digest=self._digest,
                insecure_mx=self._insecure_mx,
                noted=self.noted,
            )
            # Who waives protection, as reports on TLS do, says nothing about the server (RFC 8460 section 3).
            return replace(found, basis=_UNCOUNTED) if policy.origin == "header" else found
        except DaneUnknown as unknown:
            failure = Unprotected("4.4.3", unknown.text, "dnssec-invalid", Basis("tlsa"))
        except Unprotected as unprotected:
            failure = unprotected
        if failure.result:
            self._report.failed(domain, server, failure.basis, failure.result, failure.text)
        if (
            policy.sts is not None
            and policy.sts.mode == "testing"
            and not policy.insists
            and failure.basis.type == "sts"
        ):
            return agree(replace(policy, sts=None), server, domain, published, noted=self.noted)
        raise failure

    def _may_have_records(self, policy: TlsPolicy, server: Server) -> bool:
        return server.name_authentic or (policy.level == "dane" and self._insecure_mx != "may" and not policy.insists)

    async def _from_tables(self, text: str, destination: Destination) -> TlsPolicy | None:
        keys = table_keys(text, destination)
        try:
            entry = await self._tables.find(p.SMTP_TLS_POLICY_MAPS, *keys)
        except ServiceUnavailable as error:
            raise NoPolicy("4.7.5", f"TLS policy lookup error for {text}: {error.reason}") from None
        if entry is None:
            return None
        try:
            return self._reader.read(entry)
        except BadPolicy as error:
            log.warning(f"{p.SMTP_TLS_POLICY_MAPS.name}: the entry for {text}: {error}")
            raise NoPolicy("4.7.5", "client TLS configuration problem") from None


_UNCOUNTED = Basis(counted=False)

_BELOW_STS = frozenset({"may", "encrypt", "dane"})
"""Levels of the service that a domain's own MTA-STS policy raises."""


def table_keys(text: str, destination: Destination) -> tuple[str, ...]:
    """Under which keys a next hop is looked up (postconf(5) `smtp_tls_policy_maps`): as it is written; a domain also
    in A-labels and under its parents."""
    written = text.lower()
    if not destination.use_mx or ":" in written:
        return (written,)
    host = destination.host.lower()
    parts = host.split(".")
    spelt = () if written.isascii() else (written.removesuffix("."),)
    return (*spelt, host, *("." + ".".join(parts[number:]) for number in range(1, len(parts))))
