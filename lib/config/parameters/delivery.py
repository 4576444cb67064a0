"""Parameters of the delivery policy: when again, how slowly, from which address, to whom not at all.

docs/delivery.md has examples.
"""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, declare, integer, mapping, path, seconds, tables
from pillarbox.lib.config.retry import read_rules
from pillarbox.lib.config.sources import parse_sources, read_warm_up

RETRY = mapping(
    "retry",
    """Retry schedules by destination: {gmail.com: [5m, 15m, 1h], "*.example.com": [30m, give up after 2d]}. A name is
    a next-hop domain, "*." and a domain for its subdomains, "mx:" and a site for all domains with the same mail
    exchangers, or a transport of master.yaml. The values are the times between attempts; the last one repeats. Other
    destinations: minimal_backoff_time, maximal_backoff_time.""",
    read_rules,
)
DESTINATION_BACKOFF = boolean(
    "destination_backoff",
    "yes",
    """Whether deliveries to a destination become slower when its servers answer that mail comes too fast (421, 4.7.28,
    "too many connections" and their like), until they have taken mail without such answers for a while.""",
)
DESTINATION_BACKOFF_MAXIMUM = seconds(
    "destination_backoff_maximum",
    "10m",
    "The longest time between two deliveries to a destination that has asked for less mail.",
)
SOURCE_ADDRESSES = declare(
    "source_addresses",
    "",
    """The addresses from which smtp_client sends, as a list: "192.0.2.5 out1.example.com". Each item has one IPv4
    address, one IPv6 address, or one of each, and perhaps the name for EHLO. Deliveries to one destination are spread
    over them. Empty: smtp_bind_address and its kin. A service of master.yaml may have a pool of its own in its
    options.""",
    "list of sources",
    parse_sources,
)
WARM_UP = mapping(
    "warm_up",
    """How many recipients a day at one destination may get mail from a new address of source_addresses:
    {192.0.2.5: {since: 2026-11-01, per_day: [50, 100, 500, 1000]}}. Days are those of UTC. What is beyond the limit
    goes out from another address of the pool, or waits for the next day.""",
    read_warm_up,
)
DELIVERY_DIRECTORY = path(
    "delivery_directory",
    "$data_directory/qmgr",
    "Where the queue manager keeps its counts for warm_up; it may be deleted at any time.",
)
SUPPRESSION_MAPS = tables(
    "suppression_maps",
    "",
    """Tables of recipients that get no mail: looked up are user+extension@domain, user@domain and @domain; the value is
    the reason, which the sender is told. postmaster is exempt.""",
)
SUPPRESSION_ENABLE = boolean(
    "suppression_enable",
    "no",
    "Whether mail for addresses on the suppression list (pillarbox suppression) goes back to its sender untried.",
)
SUPPRESSION_BOUNCE_LIMIT = integer(
    "suppression_bounce_limit",
    "0",
    """After how many messages that its own server refused because there is no such user (5.1.1 and its like) an address
    gets on the suppression list by itself; 0: none does. Needs suppression_enable.""",
)
SUPPRESSION_LIFETIME = seconds(
    "suppression_lifetime",
    "90d",
    "For how long an address that got on the suppression list by itself stays there, and a refusal counts.",
)
