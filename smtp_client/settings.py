"""The parameters of one service in the shape that deliveries use: read once per process, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pillarbox.lib.clients.notices import AsyncNotices
from pillarbox.lib.config import Config
from pillarbox.lib.config.client_services import is_lmtp
from pillarbox.lib.config.parameters import smtp_client as p
from pillarbox.lib.config.parameters import tls as t
from pillarbox.lib.config.parameters.bounce import NOTIFY_CLASSES
from pillarbox.lib.config.parameters.general import INET_PROTOCOLS, MYHOSTNAME, QUEUE_DIRECTORY
from pillarbox.lib.dns import RecordType
from pillarbox.lib.smtp.client_stage import Stage, Timeouts
from pillarbox.smtp_client.destination import BadDestination, parse_port

FAMILIES: Mapping[str, tuple[RecordType, ...]] = {
    "all": (RecordType.A, RecordType.AAAA),
    "ipv4": (RecordType.A,),
    "ipv6": (RecordType.AAAA,),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the client needs to know.  Times in seconds; a limit of 0 is none."""

    lmtp: bool = False
    myhostname: str = "localhost"
    helo_name: str = "localhost"
    default_port: int = 25
    families: tuple[RecordType, ...] = FAMILIES["all"]
    preference: str = "any"
    balance_families: bool = True
    randomize: bool = True
    native_lookup: tuple[str, ...] = ("dns",)
    disable_dns_lookups: bool = False
    ignore_mx_lookup_error: bool = False
    defer_if_no_address: bool = False
    fallback_relays: tuple[str, ...] = ()
    address_limit: int = 5
    session_limit: int = 2
    bind_addresses: tuple[str, str] = ("", "")
    """IPv4, IPv6."""
    bind_enforce: bool = False
    attempt_delay: float = 0.25
    cache: bool = True
    cache_destinations: frozenset[str] = frozenset()
    idle_limit: float = 2.0
    reuse_time: float = 300.0
    reuse_count: int = 0
    skip_5xx_greeting: bool = True
    always_send_ehlo: bool = True
    never_send_ehlo: bool = False
    quote_envelope: bool = True
    skip_quit_response: bool = True
    probe_to_data: bool = False
    min_data_rate: int = 0
    """0: the time for content is not limited as a whole."""
    pix_workarounds: frozenset[str] = frozenset()
    pix_threshold: float = 500.0
    pix_delay: float = 10.0
    discard_keywords: frozenset[str] = frozenset()
    line_limit: int = 998
    disable_conversion: bool = False
    send_xforward: bool = False
    assume_final: bool = False
    tls_wrapped: bool = False
    """TLS before the greeting."""
    tls_notes_offer: bool = False
    tls_status: bool = True
    """Whether the line of a delivery says how it was protected."""
    queue_directory: str = "/"
    """Where the paths of UNIX sockets begin that are not absolute."""
    connect_timeout: float = 30.0
    timeouts: Timeouts = field(default_factory=dict, compare=False)
    notices: AsyncNotices | None = field(default=None, compare=False)
    """Where the postmaster wants to hear of mistakes of protocol: the way to him."""

    @property
    def protocol(self) -> str:
        """The program name that log lines show, as Postfix's two names for its client."""
        return "lmtp" if self.lmtp else "smtp"


def tells_postmaster(config: Config) -> bool:
    """Whether sessions are written down for the postmaster: mistakes of protocol are all that a client meets."""
    return "protocol" in config[NOTIFY_CLASSES]


def _disables_dns(config: Config) -> bool:
    level = config[p.SMTP_DNS_SUPPORT_LEVEL]
    return level == "disabled" if level else config[p.DISABLE_DNS_LOOKUPS]


def read_settings(config: Config, service: str) -> Settings:
    """The settings of a service.  Raises ValueError that names the parameter."""
    lmtp = is_lmtp(config, service)
    port_parameter = p.LMTP_TCP_PORT if lmtp else p.SMTP_TCP_PORT
    try:
        default_port = parse_port(config[port_parameter])
    except BadDestination as error:
        raise ValueError(f"{port_parameter.name}: {error}") from None
    line_limit = config[p.SMTP_LINE_LENGTH_LIMIT]
    if 0 < line_limit < 16:
        raise ValueError(f"{p.SMTP_LINE_LENGTH_LIMIT.name}: 0 or a number from 16 was expected")
    helo = config[p.SMTP_HELO_TIMEOUT]
    workarounds = config[p.SMTP_PIX_WORKAROUNDS]
    return Settings(
        lmtp=lmtp,
        myhostname=config[MYHOSTNAME],
        helo_name=config[p.SMTP_HELO_NAME],
        default_port=default_port,
        families=FAMILIES[config[INET_PROTOCOLS]],
        preference=config[p.SMTP_ADDRESS_PREFERENCE],
        balance_families=config[p.SMTP_BALANCE_INET_PROTOCOLS],
        randomize=config[p.SMTP_RANDOMIZE_ADDRESSES],
        native_lookup=config[p.SMTP_HOST_LOOKUP],
        disable_dns_lookups=_disables_dns(config),
        ignore_mx_lookup_error=config[p.IGNORE_MX_LOOKUP_ERROR],
        defer_if_no_address=config[p.SMTP_DEFER_IF_NO_MX_ADDRESS_FOUND],
        fallback_relays=config[p.SMTP_FALLBACK_RELAY],
        address_limit=config[p.SMTP_MX_ADDRESS_LIMIT],
        session_limit=config[p.SMTP_MX_SESSION_LIMIT],
        bind_addresses=(config[p.SMTP_BIND_ADDRESS], config[p.SMTP_BIND_ADDRESS6].strip("[]")),
        bind_enforce=config[p.SMTP_BIND_ADDRESS_ENFORCE],
        attempt_delay=config[p.SMTP_CONNECTION_ATTEMPT_DELAY],
        cache=config[p.SMTP_CONNECTION_CACHE_ON_DEMAND],
        cache_destinations=frozenset(name.lower() for name in config[p.SMTP_CONNECTION_CACHE_DESTINATIONS]),
        idle_limit=config[p.SMTP_CONNECTION_CACHE_TIME_LIMIT],
        reuse_time=config[p.SMTP_CONNECTION_REUSE_TIME_LIMIT],
        reuse_count=config[p.SMTP_CONNECTION_REUSE_COUNT_LIMIT],
        skip_5xx_greeting=config[p.SMTP_SKIP_5XX_GREETING],
        always_send_ehlo=config[p.SMTP_ALWAYS_SEND_EHLO],
        never_send_ehlo=config[p.SMTP_NEVER_SEND_EHLO],
        quote_envelope=config[p.SMTP_QUOTE_RFC821_ENVELOPE],
        skip_quit_response=config[p.SMTP_SKIP_QUIT_RESPONSE],
        probe_to_data=config[p.SMTP_ADDRESS_VERIFY_TARGET] == "data",
        min_data_rate=config[p.SMTP_MIN_DATA_RATE] if config[p.SMTP_PER_REQUEST_DEADLINE] else 0,
        pix_workarounds=frozenset(workarounds),
        pix_threshold=config[p.SMTP_PIX_WORKAROUND_THRESHOLD_TIME],
        pix_delay=config[p.SMTP_PIX_WORKAROUND_DELAY_TIME],
        discard_keywords=frozenset(word.upper() for word in config[p.SMTP_DISCARD_EHLO_KEYWORDS]),
        line_limit=line_limit,
        tls_wrapped=config[t.SMTP_TLS_WRAPPERMODE],
        tls_notes_offer=config[t.SMTP_TLS_NOTE_STARTTLS_OFFER],
        tls_status=config[t.SMTP_LOG_TLS_FEATURE_STATUS],
        disable_conversion=config[p.DISABLE_MIME_OUTPUT_CONVERSION],
        send_xforward=config[p.SMTP_SEND_XFORWARD_COMMAND],
        assume_final=config[p.LMTP_ASSUME_FINAL],
        notices=AsyncNotices(config) if tells_postmaster(config) else None,
        queue_directory=config[QUEUE_DIRECTORY],
        connect_timeout=config[p.SMTP_CONNECT_TIMEOUT],
        timeouts={
            Stage.GREETING: helo,
            Stage.EHLO: helo,
            Stage.HELO: helo,
            Stage.LHLO: helo,
            Stage.STARTTLS: config[p.SMTP_STARTTLS_TIMEOUT],
            Stage.MAIL: config[p.SMTP_MAIL_TIMEOUT],
            Stage.RCPT: config[p.SMTP_RCPT_TIMEOUT],
            Stage.DATA: config[p.SMTP_DATA_INIT_TIMEOUT],
            Stage.BODY: config[p.SMTP_DATA_XFER_TIMEOUT],
            Stage.END_OF_DATA: config[p.SMTP_DATA_DONE_TIMEOUT],
            Stage.RSET: config[p.SMTP_RSET_TIMEOUT],
            Stage.QUIT: config[p.SMTP_QUIT_TIMEOUT],
        },
    )
