"""Parameters of what clients meet before smtpd takes their mail: tests before the greeting, greylisting, rates."""

from __future__ import annotations

import re

from pillarbox.lib.config.dnsbl import Site, parse_sites
from pillarbox.lib.config.parameter import (
    Parameter,
    Raw,
    boolean,
    choice,
    declare,
    integer,
    seconds,
    split_words,
    tables,
    text,
)

ACTIONS = ("ignore", "enforce", "drop")
_ACTION = """ignore: only log it; enforce: refuse the client's mail with a 550 reply; drop: send a 521 reply instead of
the greeting and hang up."""
PERMIT_MYNETWORKS = "permit_mynetworks"

_TABLE = re.compile(r"[a-z][a-z0-9_]*:.+")


def _parse_access_list(raw: Raw) -> tuple[str, ...]:
    items = split_words(raw)
    for item in items:
        if item != PERMIT_MYNETWORKS and not _TABLE.fullmatch(item):
            raise ValueError(
                f'{PERMIT_MYNETWORKS} or a table such as "cidr:/etc/pillarbox/clients" was expected: "{item}"'
            )
    return items


# --- tests before the greeting
SMTPD_SCREENING = boolean(
    "smtpd_screening",
    "yes",
    """Whether clients of a service are tested before the greeting and greylisted, as the parameters below say; no for
    services whose clients are not other mail servers.""",
)
SMTPD_SCREENING_ACCESS_LIST: Parameter[tuple[str, ...]] = declare(
    "smtpd_screening_access_list",
    PERMIT_MYNETWORKS,
    """Clients that are known for good or bad, before any test: permit_mynetworks, and tables whose result for the
    client's address is permit, reject or dunno. What comes first decides.""",
    "tables",
    _parse_access_list,
)
SMTPD_SCREENING_DENYLIST_ACTION = choice(
    "smtpd_screening_denylist_action",
    "ignore",
    f"What is done with a client that smtpd_screening_access_list rejects. {_ACTION}",
    ACTIONS,
)
SMTPD_GREET_WAIT = seconds(
    "smtpd_greet_wait",
    "0s",
    """How long an unknown client has to wait for the greeting; one that speaks before has no manners and is rarely a
    mail server. 6s is a good value; 0s: nobody waits.""",
)
SMTPD_GREET_BANNER = text(
    "smtpd_greet_banner",
    "$smtpd_banner",
    "The text of the first, incomplete line of the greeting (220-), which tempts bad clients to speak; empty: none.",
)
SMTPD_GREET_ACTION = choice(
    "smtpd_greet_action",
    "ignore",
    f"""What is done with a client that speaks before the greeting. {_ACTION} With ignore it is up to
    smtpd_forbid_unauth_pipelining.""",
    ACTIONS,
)
SMTPD_GREET_TTL = seconds(
    "smtpd_greet_ttl", "1d", "For how long a client that has waited for the greeting need not wait again."
)

# --- lists in the DNS
SMTPD_DNSBL_SITES: Parameter[tuple[Site, ...]] = declare(
    "smtpd_dnsbl_sites",
    "",
    """Lists in the DNS of bad and of good clients, each domain=answers*weight: bl.example, bl.example*2,
    bl.example=127.0.0.[2..11]*3, dnswl.example*-2. All are asked at once.""",
    "list",
    parse_sites,
)
SMTPD_DNSBL_THRESHOLD = integer(
    "smtpd_dnsbl_threshold", "1", "The sum of weights from which on a client is taken for bad.", minimum=1
)
SMTPD_DNSBL_ALLOWLIST_THRESHOLD = integer(
    "smtpd_dnsbl_allowlist_threshold",
    "0",
    """The sum of weights, below zero, down from which a client is taken for good: it does not wait for the greeting and
    is not greylisted. 0: no client is spared the greeting delay; greylisting spares those below zero.""",
    minimum=-1_000_000,
    maximum=0,
)
SMTPD_DNSBL_ACTION = choice(
    "smtpd_dnsbl_action", "ignore", f"What is done with a client whose sum is too high. {_ACTION}", ACTIONS
)
SMTPD_DNSBL_TIMEOUT = seconds("smtpd_dnsbl_timeout", "10s", "How long the lists have for an answer.")
SMTPD_DNSBL_MIN_TTL = seconds(
    "smtpd_dnsbl_min_ttl", "60s", "For how long, at least, a client that the lists do not hold is not looked up again."
)
SMTPD_DNSBL_MAX_TTL = seconds(
    "smtpd_dnsbl_max_ttl", "1h", "The same at most; between the two the answers' own time to live decides."
)
SMTPD_DNSBL_REPLY_MAP = tables(
    "smtpd_dnsbl_reply_map",
    "",
    "Tables from the domain of a list to the name that replies show, for domains that hold a secret.",
)

# --- greylisting
SMTPD_GREYLISTING = boolean(
    "smtpd_greylisting",
    "no",
    """Put off the first mail of an unknown client, sender and recipient: mail servers come back. Clients that come back
    as a rule, those on DNS lists of good ones, and whoever a local user has written to are spared. To greylist some
    only, leave this off and put reject_greylisted into a restriction list or class.""",
)
SMTPD_GREYLIST_DELAY = seconds("smtpd_greylist_delay", "300s", "How long such mail has to wait.")
SMTPD_GREYLIST_WINDOW = seconds("smtpd_greylist_window", "2d", "Until when it must have come back.")
SMTPD_GREYLIST_LIFETIME = seconds(
    "smtpd_greylist_lifetime", "35d", "How long what has come back stays known after its last mail."
)
SMTPD_GREYLIST_CLIENT_THRESHOLD = integer(
    "smtpd_greylist_client_threshold",
    "5",
    "The number of mails of a client network that have to come back until it waits no more at all; 0: it always waits.",
)
SMTPD_GREYLIST_IPV4_PREFIX_LENGTH = integer(
    "smtpd_greylist_ipv4_prefix_length",
    "24",
    "The size of a client network, as large senders change addresses.",
    maximum=32,
)
SMTPD_GREYLIST_IPV6_PREFIX_LENGTH = integer(
    "smtpd_greylist_ipv6_prefix_length", "64", "The same for IPv6.", maximum=128
)
SMTPD_GREYLIST_CORRESPONDENT_LIFETIME = seconds(
    "smtpd_greylist_correspondent_lifetime", "180d", "How long an address to which a local user has written is spared."
)
SMTPD_GREYLIST_CLIENT_EXCEPTIONS = tables(
    "smtpd_greylist_client_exceptions",
    "",
    """Tables of clients (address) whose mail does not wait. Here and in the next two a result no means that it does
    wait.""",
)
SMTPD_GREYLIST_SENDER_EXCEPTIONS = tables(
    "smtpd_greylist_sender_exceptions",
    "",
    """Tables of senders (address, domain, .parent domain, user@) whose mail does not wait: those that send codes for
    signing up or logging in.""",
)
SMTPD_GREYLIST_RECIPIENT_EXCEPTIONS = tables(
    "smtpd_greylist_recipient_exceptions", "", "Tables of recipients, in the same way, who want their mail at once."
)

# --- what accounts send
SMTPD_ACCOUNT_RATE_TIME = seconds("smtpd_account_rate_time", "1d", "The time over which an account's mail is counted.")
SMTPD_ACCOUNT_MESSAGE_LIMIT = integer(
    "smtpd_account_message_limit",
    "500",
    """How many messages an account may send in that time; 0: any number. Beyond a limit all mail of the account is
    taken and held until "pillarbox account release", and its owner and the postmaster are told: a stolen password
    sends its spam nowhere.""",
)
SMTPD_ACCOUNT_RECIPIENT_LIMIT = integer(
    "smtpd_account_recipient_limit", "2000", "To how many recipients an account may write in that time; 0: any number."
)
SMTPD_ACCOUNT_NEW_RECIPIENT_LIMIT = integer(
    "smtpd_account_new_recipient_limit",
    "500",
    "To how many recipients to whom it had never written an account may write in that time; 0: any number.",
)
ACCOUNT_NOTICE_RECIPIENT = text(
    "account_notice_recipient", "postmaster", "Who is told, beside its owner, that an account's mail is held."
)
