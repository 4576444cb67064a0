"""Where a hosted account's mail lies, for delivery and for access: its home directory, and the store.

The home is `VIRTUAL_MAILBOX_BASE/DOMAIN/LOCALPART`, whatever kind of store the mail is in; the account's other files
(Sieve scripts) lie there too.
"""

from __future__ import annotations

from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.config import Config
from pillarbox.lib.config.location import expand_location
from pillarbox.lib.config.parameters.stores import MAIL_LOCATION, MAIL_LOCATION_DOMAINS
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE


def mailbox_directory(config: Config, address: str) -> str:
    """The home of an account; `address` in the form that `normalize_address` gives."""
    local, domain = split_address(address)
    return f"{config[VIRTUAL_MAILBOX_BASE]}/{domain}/{unquote_local(local)}"


def mail_location(config: Config, address: str, own: str = "") -> str:
    """The location of an account's mail, as `pillarbox.lib.store.open_store` takes it; `own` is what is said for it
    alone, "" where nothing is."""
    local, domain = split_address(address)
    location = own or config[MAIL_LOCATION_DOMAINS].get(domain) or config[MAIL_LOCATION]
    return expand_location(location, address, unquote_local(local), domain, mailbox_directory(config, address))
