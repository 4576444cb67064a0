"""What all sessions of one process share: settings, clients of the other services, names, policy, TLS.

Made in two steps: `Server.prepare` before the process confines itself (reads certificate, resolv.conf, hosts),
`begin` on the running loop.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.anvil import AsyncAnvilClient
from pillarbox.lib.clients.auth import AsyncAuthClient, Security
from pillarbox.lib.clients.cleanup import AsyncCleanupClient
from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.clients.notices import AsyncNotices
from pillarbox.lib.clients.policy_service import Patience, PolicyServices
from pillarbox.lib.clients.qmgr import AsyncQmgrClient
from pillarbox.lib.clients.quota import AsyncQuotaClient
from pillarbox.lib.clients.reputation import AsyncReputationClient
from pillarbox.lib.clients.verify import AsyncVerifyClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters import (
    content,
    general,
    milter,
    smtpd,
    smtpd_access,
    smtpd_content,
    smtpd_extensions,
    smtpd_proxy,
    smtpd_tls,
    verp,
)
from pillarbox.lib.dns import Resolver, configured_resolver
from pillarbox.lib.log import log
from pillarbox.lib.smtp.content import BareNewline
from pillarbox.lib.smtp.networks import ClientNetworks, Networks
from pillarbox.lib.smtp.profile import NOTHING_GRANTED, Profile
from pillarbox.lib.tls import server_context, smtp_role
from pillarbox.lib.tls.tickets import TicketKeys
from pillarbox.smtpd.checks import configured_checks
from pillarbox.smtpd.client import ClientNames
from pillarbox.smtpd.policy.settings import configured_settings
from pillarbox.smtpd.proxy_filter import configured_filter
from pillarbox.smtpd.screening.dnsbl import Silence
from pillarbox.smtpd.screening.greylisting import Greylist
from pillarbox.smtpd.screening.results import Results
from pillarbox.smtpd.screening.settings import configured_screening
from pillarbox.smtpd.submission import Submission
from pillarbox.smtpd.sweep import Sweeper

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session

_GRANTS: Final[tuple[tuple[str, Parameter[tuple[str, ...]]], ...]] = (
    ("XCLIENT", smtpd_proxy.SMTPD_AUTHORIZED_XCLIENT_HOSTS),
    ("XFORWARD", smtpd_proxy.SMTPD_AUTHORIZED_XFORWARD_HOSTS),
    ("XVERP", verp.AUTHORIZED_VERP_CLIENTS),
    ("EXPN", smtpd_extensions.SMTPD_EXPN_NETWORKS),
)

UNFILTERED: Final = frozenset(("BINARYMIME", "REQUIRETLS", "DELIVERBY", "FUTURERELEASE", "XVERP"))
"""Extensions that need more than a filter before the queue passes on."""

MECHANISMS_LIFETIME = 10.0
"""Seconds for which the list of SASL mechanisms is not asked again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, and what anvil's counts are held against (0: no limit)."""

    timeout: float
    data_rate: int
    tls_timeout: float
    error_sleep: float
    name_timeout: float
    connection_count: int
    connection_rate: int
    message_rate: int
    recipient_rate: int
    auth_rate: int
    tls_rate: int

    @property
    def counting(self) -> bool:
        """Whether anvil is needed at all."""
        at_once, rates = self.connection_count, (self.connection_rate, self.message_rate, self.recipient_rate)
        return any((at_once, *rates, self.auth_rate, self.tls_rate))


class Server:
    """One process's worth of shared state."""

    sweeper: Sweeper
    names: ClientNames
    lookup: AsyncLookupClient
    cleanup: AsyncCleanupClient
    notices: AsyncNotices
    auth: AsyncAuthClient
    anvil: AsyncAnvilClient
    qmgr: AsyncQmgrClient
    policy_services: PolicyServices
    quota: AsyncQuotaClient
    verify: AsyncVerifyClient
    reputation: AsyncReputationClient
    results: Results

    def __init__(
        self,
        config: Config,
        service: str,
        *,
        tls: ssl.SSLContext | None,
        resolver: Resolver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for settings that cannot be."""
        self.config = config
        self.service = service
        self.tls = tls
        self.resolver = resolver
        self.clock = clock
        self.stopping = False
        self.sessions: set[Session] = set()
        trusted, exempt = config[general.MYNETWORKS], config[smtpd.SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS]
        self.trusted, self.exempt = Networks(trusted), Networks(exempt)
        self.proxies = configured_proxies(config)
        self.proxy_timeout = config[smtpd_proxy.SMTPD_UPSTREAM_PROXY_TIMEOUT]
        self._granted_to = tuple(
            (command, Networks(networks)) for command, parameter in _GRANTS if (networks := config[parameter])
        )
        self.settings = configured_settings(config)
        self.policy_patience = configured_patience(config)
        self.queue_directory = config[general.QUEUE_DIRECTORY]
        self.reject_footer = config[smtpd_access.SMTPD_REJECT_FOOTER]
        self.profile = configured_profile(config, tls is not None)
        self._lenient = replace(self.profile, bare_newline="no")
        excluded = config[smtpd_content.SMTPD_FORBID_BARE_NEWLINE_EXCLUSIONS]
        self._lenient_to = Networks(excluded)
        self.limits = configured_limits(config)
        self.clients = ClientNetworks(
            config[smtpd.SMTPD_CLIENT_IPV4_PREFIX_LENGTH], config[smtpd.SMTPD_CLIENT_IPV6_PREFIX_LENGTH]
        )
        self.screening = configured_screening(config)
        self.greylist = Greylist(self)
        self.host = config[general.MYHOSTNAME]
        self.origin = config[general.MYORIGIN]
        self.proxy_filter = configured_filter(self)
        self.content_filter = config[content.CONTENT_FILTER]
        overrides = config[content.RECEIVE_OVERRIDE_OPTIONS]
        self.overrides = " ".join(overrides)
        self.wrapper = config[smtpd_tls.SMTPD_TLS_WRAPPERMODE]
        self.tls_received = config[smtpd_tls.SMTPD_TLS_RECEIVED_HEADER]
        self.fingerprint_digest = config[smtpd_tls.SMTPD_TLS_FINGERPRINT_DIGEST]
        self.tls_log = config[smtpd_tls.SMTPD_TLS_LOGLEVEL] > 0
        self.submission = Submission.configured(config)
        self.sasl_received = config[smtpd.SMTPD_SASL_AUTHENTICATED_HEADER]
        self.checks = configured_checks(self)
        self._mechanisms: dict[tuple[bool, str, bool, bool], tuple[float, tuple[str, ...]]] = {}
        if self.profile.tls_required and tls is None:
            raise ValueError(f"smtpd_tls_security_level is encrypt for {service}, but there is no certificate")
        if self.wrapper and tls is None:
            raise ValueError(f"smtpd_tls_wrappermode is on for {service}, but there is no certificate")

    @classmethod
    def prepare(cls, config: Config, service: str, tickets: TicketKeys | None = None) -> Server:
        """Read what confinement will forbid.  Raises ValueError or TlsError."""
        role = smtp_role(config)
        context = server_context(config, role, tickets) if role is not None else None
        return cls(config, service, tls=context, resolver=configured_resolver(config))

    def profile_for(self, address: str) -> Profile:
        """The protocol's settings for a client."""
        return self._lenient if address in self._lenient_to else self.profile

    def begin(self) -> None:
        """Make what belongs to the running loop."""
        config, loop = self.config, asyncio.get_running_loop()
        self.names = ClientNames(self.resolver, loop.time)
        self.lookup = AsyncLookupClient(config)
        self.cleanup = AsyncCleanupClient(config, self.clock)
        self.notices = AsyncNotices(config, self.cleanup)
        self.auth = AsyncAuthClient(config)
        self.anvil = AsyncAnvilClient(config)
        self.qmgr = AsyncQmgrClient(config)
        self.policy_services = PolicyServices()
        self.quota = AsyncQuotaClient(config)
        self.verify = AsyncVerifyClient(config)
        self.reputation = AsyncReputationClient(config)
        self.results = Results(self.reputation, Silence(loop.time, self.screening.lists.timeout))
        self.sweeper = Sweeper(self.sessions)
        self.sweeper.start()

    def granted(self, address: str) -> frozenset[str]:
        """The commands that a client with this address may use, and others may not."""
        if not self._granted_to:
            return NOTHING_GRANTED
        return frozenset(command for command, networks in self._granted_to if address in networks)

    def stop(self) -> None:
        """Tell idle clients to go, the others when their transaction is over."""
        self.stopping = True
        for session in list(self.sessions):
            session.stop()

    async def mechanisms(self, encrypted: bool, address: str, security: Security) -> tuple[str, ...]:
        """What AUTH offers this client; nothing where auth cannot be asked."""
        now = asyncio.get_running_loop().time()
        # The answer may depend on the client where it is near: those addresses are few.
        near = address in self.trusted or address.startswith("127.") or address == "::1"
        key = encrypted, address if near else "", bool(security.bindings), security.certificate is not None
        known = self._mechanisms.get(key)
        if known is not None and known[0] > now:
            return known[1]
        try:
            mechanisms = await self.auth.mechanisms(encrypted, address, security)
        except ServiceUnavailable as error:
            log.warning(f"AUTH is not offered: {error.reason}")
            return ()
        if len(self._mechanisms) >= 1000:
            self._mechanisms.clear()
        self._mechanisms[key] = now + MECHANISMS_LIFETIME, mechanisms
        return mechanisms


def configured_proxies(config: Config) -> Networks | None:
    """Who sends a PROXY header; None where nobody does.  Raises ValueError where it is not said who."""
    if not config[smtpd_proxy.SMTPD_UPSTREAM_PROXY_PROTOCOL]:
        return None
    hosts = config[smtpd_proxy.SMTPD_UPSTREAM_PROXY_HOSTS]
    if not hosts:
        raise ValueError("smtpd_upstream_proxy_protocol is set, but smtpd_upstream_proxy_hosts names no proxy")
    return Networks(hosts)


def configured_patience(config: Config) -> Patience:
    """How long policy servers are waited for."""
    return Patience(
        config[smtpd_access.SMTPD_POLICY_SERVICE_TIMEOUT],
        config[smtpd_access.SMTPD_POLICY_SERVICE_TRY_LIMIT],
        config[smtpd_access.SMTPD_POLICY_SERVICE_RETRY_DELAY],
        config[smtpd_access.SMTPD_POLICY_SERVICE_MAX_IDLE],
        config[smtpd_access.SMTPD_POLICY_SERVICE_MAX_TTL],
        config[smtpd_access.SMTPD_POLICY_SERVICE_REQUEST_LIMIT],
    )


def configured_profile(config: Config, certificate: bool) -> Profile:
    """What the protocol core may do."""
    level = config[smtpd_tls.SMTPD_TLS_SECURITY_LEVEL]
    bare_newline = config[smtpd_content.SMTPD_FORBID_BARE_NEWLINE]
    lmtp = config[smtpd.SMTPD_PROTOCOL] == "lmtp"
    discarded = frozenset(word.upper() for word in config[smtpd.SMTPD_DISCARD_EHLO_KEYWORDS])
    if config[smtpd_content.SMTPD_PROXY_FILTER]:
        discarded |= UNFILTERED
    return Profile(
        host=config[general.MYHOSTNAME],
        greeting=config[smtpd.SMTPD_BANNER],
        lmtp=lmtp,
        size_limit=config[general.MESSAGE_SIZE_LIMIT],
        recipient_limit=config[smtpd.SMTPD_RECIPIENT_LIMIT],
        recipient_overshoot=config[smtpd.SMTPD_RECIPIENT_OVERSHOOT_LIMIT],
        mail_limit=config[smtpd_extensions.SMTPD_SESSION_MESSAGE_LIMIT],
        domain_limit=config[smtpd_extensions.SMTPD_RECIPIENT_DOMAIN_LIMIT],
        requiretls=config[smtpd_extensions.REQUIRETLS_ENABLE] and "REQUIRETLS" not in discarded,
        deliver_by=None if "DELIVERBY" in discarded else int(config[smtpd_extensions.SMTPD_DELIVER_BY_MINIMUM]),
        hold_limit=0 if "FUTURERELEASE" in discarded else int(config[smtpd_extensions.SMTPD_FUTURE_RELEASE_LIMIT]),
        etrn=not lmtp,
        command_limit=max(512, config[general.LINE_LENGTH_LIMIT]),
        soft_error_limit=config[smtpd.SMTPD_SOFT_ERROR_LIMIT],
        hard_error_limit=config[smtpd.SMTPD_HARD_ERROR_LIMIT],
        junk_limit=config[smtpd.SMTPD_JUNK_COMMAND_LIMIT],
        helo_required=config[smtpd.SMTPD_HELO_REQUIRED],
        strict=config[smtpd.STRICT_RFC821_ENVELOPES],
        smtputf8=config[general.SMTPUTF8_ENABLE],
        asks_unknown=bool(config[milter.SMTPD_MILTERS] or config[milter.SMTPD_MILTER_MAPS]),
        verp_delimiters=config[verp.DEFAULT_VERP_DELIMITERS],
        verp_allowed=config[verp.VERP_DELIMITER_FILTER],
        verify=not config[smtpd.DISABLE_VRFY_COMMAND],
        tls=certificate and level != "none",
        tls_required=level == "encrypt",
        auth=config[smtpd.SMTPD_SASL_AUTH_ENABLE],
        auth_needs_tls=config[smtpd_tls.SMTPD_TLS_AUTH_ONLY],
        bare_newline=cast(BareNewline, "normalize" if bare_newline == "yes" else bare_newline),
        bare_newline_code=config[smtpd_content.SMTPD_FORBID_BARE_NEWLINE_REJECT_CODE],
        forbid_pipelining=config[smtpd.SMTPD_FORBID_UNAUTH_PIPELINING],
        soft_bounce=config[general.SOFT_BOUNCE],
        forbidden=frozenset(word.upper() for word in config[smtpd.SMTPD_FORBIDDEN_COMMANDS]),
        discarded=discarded,
    )


def configured_limits(config: Config) -> Limits:
    """Times and rates."""
    return Limits(
        timeout=config[smtpd.SMTPD_TIMEOUT],
        data_rate=config[smtpd.SMTPD_MIN_DATA_RATE],
        tls_timeout=config[smtpd_tls.SMTPD_STARTTLS_TIMEOUT],
        error_sleep=config[smtpd.SMTPD_ERROR_SLEEP_TIME],
        name_timeout=config[smtpd.SMTPD_CLIENT_NAME_TIMEOUT],
        connection_count=config[smtpd.SMTPD_CLIENT_CONNECTION_COUNT_LIMIT],
        connection_rate=config[smtpd.SMTPD_CLIENT_CONNECTION_RATE_LIMIT],
        message_rate=config[smtpd.SMTPD_CLIENT_MESSAGE_RATE_LIMIT],
        recipient_rate=config[smtpd.SMTPD_CLIENT_RECIPIENT_RATE_LIMIT],
        auth_rate=config[smtpd.SMTPD_CLIENT_AUTH_RATE_LIMIT],
        tls_rate=config[smtpd.SMTPD_CLIENT_NEW_TLS_SESSION_RATE_LIMIT],
    )
