"""The screening that a service's configuration asks for, prepared once per process."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.clients.reputation import AccountLimits, GreylistPolicy
from pillarbox.lib.config import Config
from pillarbox.lib.config.dnsbl import Site
from pillarbox.lib.config.parameter import joined
from pillarbox.lib.config.parameters import general
from pillarbox.lib.config.parameters import smtpd_screening as parameters


@dataclass(frozen=True, slots=True)
class Greeting:
    """The greet delay; `wait` 0: there is none."""

    wait: float
    teaser: str
    action: str
    ttl: float


@dataclass(frozen=True, slots=True)
class Lists:
    """The DNS lists; without `sites` there are none."""

    sites: tuple[Site, ...]
    threshold: int
    allow_threshold: int
    action: str
    timeout: float
    min_ttl: float
    max_ttl: float
    reply_map: bool

    def good(self, rank: int) -> bool:
        """Whether a rank spares a client the greeting delay."""
        return rank <= self.allow_threshold < 0

    def good_enough(self, rank: int) -> bool:
        """Whether a rank spares a client greylisting."""
        return rank <= (self.allow_threshold or -1)


@dataclass(frozen=True, slots=True)
class AccessList:
    """Who is known: by mynetworks first or last or not at all (None), and by tables."""

    mynetworks: str | None
    tables: bool
    action: str


@dataclass(frozen=True, slots=True)
class Greylisting:
    """`everywhere`: all strangers are greylisted.  Of each kind of exceptions, whether there are tables to ask."""

    everywhere: bool
    policy: GreylistPolicy
    prefix_ipv4: int
    prefix_ipv6: int
    correspondent_lifetime: int
    client_exceptions: bool
    sender_exceptions: bool
    recipient_exceptions: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    access_list: AccessList
    greeting: Greeting
    lists: Lists
    greylisting: Greylisting
    learns: bool
    """Whether to remember whom local users write to: some service greylists."""
    accounts: AccountLimits
    notice_recipient: str

    @property
    def tests(self) -> bool:
        """Whether there is anything to do before the greeting."""
        return bool(self.greeting.wait or self.lists.sites or self.access_list.tables)


def configured_screening(config: Config) -> Settings:
    """Read the parameters.  Raises ValueError for values that cannot be."""
    screened = config[parameters.SMTPD_SCREENING]
    greylists = config[parameters.SMTPD_GREYLISTING]
    return Settings(
        access_list=_access_list(config, screened),
        greeting=Greeting(
            config[parameters.SMTPD_GREET_WAIT] if screened else 0.0,
            config[parameters.SMTPD_GREET_BANNER],
            config[parameters.SMTPD_GREET_ACTION],
            config[parameters.SMTPD_GREET_TTL],
        ),
        lists=Lists(
            config[parameters.SMTPD_DNSBL_SITES] if screened else (),
            config[parameters.SMTPD_DNSBL_THRESHOLD],
            config[parameters.SMTPD_DNSBL_ALLOWLIST_THRESHOLD],
            config[parameters.SMTPD_DNSBL_ACTION],
            config[parameters.SMTPD_DNSBL_TIMEOUT],
            config[parameters.SMTPD_DNSBL_MIN_TTL],
            config[parameters.SMTPD_DNSBL_MAX_TTL],
            bool(config[parameters.SMTPD_DNSBL_REPLY_MAP]),
        ),
        greylisting=_greylisting(config, screened and greylists),
        learns=greylists or _mentions(config, "reject_greylisted"),
        accounts=AccountLimits(
            config[parameters.SMTPD_ACCOUNT_MESSAGE_LIMIT],
            config[parameters.SMTPD_ACCOUNT_RECIPIENT_LIMIT],
            config[parameters.SMTPD_ACCOUNT_NEW_RECIPIENT_LIMIT],
            max(int(config[parameters.SMTPD_ACCOUNT_RATE_TIME]), 1),
        ),
        notice_recipient=_complete(config[parameters.ACCOUNT_NOTICE_RECIPIENT], config[general.MYORIGIN]),
    )


def _access_list(config: Config, screened: bool) -> AccessList:
    items = config[parameters.SMTPD_SCREENING_ACCESS_LIST]
    mynetworks = None
    if parameters.PERMIT_MYNETWORKS in items:
        mynetworks = "first" if items[0] == parameters.PERMIT_MYNETWORKS else "last"
    tables = screened and any(item != parameters.PERMIT_MYNETWORKS for item in items)
    return AccessList(mynetworks, tables, config[parameters.SMTPD_SCREENING_DENYLIST_ACTION])


def _greylisting(config: Config, wanted: bool) -> Greylisting:
    policy = GreylistPolicy(
        int(config[parameters.SMTPD_GREYLIST_DELAY]),
        int(config[parameters.SMTPD_GREYLIST_WINDOW]),
        int(config[parameters.SMTPD_GREYLIST_LIFETIME]),
        config[parameters.SMTPD_GREYLIST_CLIENT_THRESHOLD],
    )
    if policy.window <= policy.delay:
        raise ValueError(
            "smtpd_greylist_window must be longer than smtpd_greylist_delay: nobody could come back in time"
        )
    return Greylisting(
        wanted,
        policy,
        config[parameters.SMTPD_GREYLIST_IPV4_PREFIX_LENGTH],
        config[parameters.SMTPD_GREYLIST_IPV6_PREFIX_LENGTH],
        int(config[parameters.SMTPD_GREYLIST_CORRESPONDENT_LIFETIME]),
        bool(config[parameters.SMTPD_GREYLIST_CLIENT_EXCEPTIONS]),
        bool(config[parameters.SMTPD_GREYLIST_SENDER_EXCEPTIONS]),
        bool(config[parameters.SMTPD_GREYLIST_RECIPIENT_EXCEPTIONS]),
    )


def _mentions(config: Config, restriction: str) -> bool:
    """Whether some list of restrictions, of whatever service, has it: what one service learns another one uses."""
    options = (service.options for service in config.services.values())
    return any(restriction in joined(raw) for values in (config.values, *options) for raw in values.values())


def _complete(address: str, origin: str) -> str:
    return f"{address}@{origin}" if address and "@" not in address else address
