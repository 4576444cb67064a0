"""How much mail a hosted mailbox or domain may hold (docs/quota.md)."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, checked_words, declare, joined, mapping, tables
from pillarbox.lib.config.quota import parse_limits, parse_percents, read_rules

MAILBOX_QUOTA = declare(
    "mailbox_quota",
    "none",
    """What each hosted Maildir may hold: "1G", "500M 10000C" (octets, messages), or none. The account's own quota
    (pillarbox user quota) goes before mailbox_quota_maps, and that before this.""",
    "quota",
    lambda raw: parse_limits(joined(raw)),
)
MAILBOX_QUOTA_MAPS = tables(
    "mailbox_quota_maps",
    "",
    "The quota of single hosted mailboxes, by user@domain or @domain: a value as of mailbox_quota.",
)
DOMAIN_QUOTA = declare(
    "domain_quota",
    "none",
    """What all mailboxes of a hosted domain may hold together, those that lie in virtual_mailbox_base/DOMAIN/;
    or none.""",
    "quota",
    lambda raw: parse_limits(joined(raw)),
)
DOMAIN_QUOTA_MAPS = tables(
    "domain_quota_maps", "", "The quota of single hosted domains, by name: a value as of domain_quota."
)
QUOTA_RULES = mapping(
    "quota_rules",
    """What holds for single folders: {Spam: ignore, Trash: +10%, "Archive*": +1G}. "ignore" does not count what lies
    there; "+" lets mail go there when the quota is used up, so much more than it.""",
    read_rules,
)
QUOTA_FULL_TEMPFAIL = boolean(
    "quota_full_tempfail",
    "no",
    "Whether mail to a full mailbox waits (452 4.2.2) instead of being returned (552 5.2.2).",
)
QUOTA_WARNINGS = checked_words(
    "quota_warnings",
    "80 95",
    "At which percentages of the quota the owner of a mailbox gets a mail about it; empty: never.",
    parse_percents,
)
