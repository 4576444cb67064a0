"""Where a hosted account's mailbox lies: `VIRTUAL_MAILBOX_BASE/DOMAIN/LOCALPART`, for delivery and for access."""

from __future__ import annotations

from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.virtual import VIRTUAL_MAILBOX_BASE


def mailbox_directory(config: Config, address: str) -> str:
    """The Maildir of an account; `address` in the form that `normalize_address` gives."""
    local, domain = split_address(address)
    return f"{config[VIRTUAL_MAILBOX_BASE]}/{domain}/{unquote_local(local)}"
