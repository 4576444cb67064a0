"""Where the mail of hosted accounts lies (docs/database-stores.md)."""

from __future__ import annotations

from pillarbox.lib.config.location import parse_general_location, read_domain_locations
from pillarbox.lib.config.parameter import declare, joined, mapping

MAIL_LOCATION = declare(
    "mail_location",
    "maildir:%h",
    """Where the mail of a hosted account lies: maildir:PATH, mbox:PATH, sqlite:PATH (a file for each account), or
    pgsql:postgresql://USER@HOST/DATABASE#%u. In it %u is the address, %n its local part, %d its domain, %h the
    directory virtual_mailbox_base/DOMAIN/LOCALPART, and %% a percent sign. Files lie below virtual_mailbox_base. The
    imap://HOST/ says that the mail is on another server: IMAP clients are referred there. The
    account's own location (pillarbox user location) goes before mail_location_domains, and that before this.""",
    "location",
    lambda raw: parse_general_location(joined(raw)),
)
MAIL_LOCATION_DOMAINS = mapping(
    "mail_location_domains",
    'The same for the accounts of single domains: {example.com: "sqlite:%h/mail.sqlite"}.',
    read_domain_locations,
)
