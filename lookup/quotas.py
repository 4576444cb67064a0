"""What the mailbox behind an address, and its domain, may hold: the account's own quota, then the tables, then the
parameter for all.
"""

from __future__ import annotations

from pillarbox.lib.address.address import split_address
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import VIRTUAL_MAILBOX_MAPS
from pillarbox.lib.config.parameters.quota import DOMAIN_QUOTA, DOMAIN_QUOTA_MAPS, MAILBOX_QUOTA, MAILBOX_QUOTA_MAPS
from pillarbox.lib.config.quota import Limits, parse_limits
from pillarbox.lib.store.quota import grant_text
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.keys import find_address, split_local
from pillarbox.lookup.accounts import AccountsTable
from pillarbox.lookup.tableset import TableSet


class Quotas:
    """The quotas of one configuration, and where accounts have their mail."""

    def __init__(self, config: Config, tables: TableSet) -> None:
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._default, self._domain = config[MAILBOX_QUOTA], config[DOMAIN_QUOTA]
        self._maps, self._domains = tables.maps(MAILBOX_QUOTA_MAPS), tables.maps(DOMAIN_QUOTA_MAPS)
        self._accounts = tuple(
            table for table in tables.maps(VIRTUAL_MAILBOX_MAPS).tables if isinstance(table, AccountsTable)
        )
        self._any = bool(self._default or self._domain or self._maps or self._domains or self._accounts)

    def grant(self, address: str) -> str:
        """As `grant_text` writes it; "" for no limit.  Raises LookupFailed, also for a value that is no quota."""
        if not self._any:
            return ""
        domain = self._domain
        if self._domains and (value := self._domains.find(split_address(address)[1])) is not None:
            domain = _limits(value, self._domains)
        return grant_text(self._mailbox(address), domain)

    def _mailbox(self, address: str) -> Limits:
        if self._accounts and (own := self._own(address)):
            return parse_limits(own)
        if self._maps:
            found = find_address(self._maps, address, self._delimiters, lambda domain: False)
            if found is not None:
                return _limits(found.value, self._maps)
        return self._default

    def _own(self, address: str) -> str:
        if not any(table.quotas for table in self._accounts):
            return ""  # nearly always: the verdict has just asked for the account
        for table in self._accounts:
            for key in self._keys(address):
                if quota := table.quota(key):
                    return quota
        return ""

    def location(self, address: str) -> str:
        """Where the account's mail lies (`open_store`), "" for a Maildir in the usual place.  Raises LookupFailed."""
        if not any(table.locations for table in self._accounts):
            return ""
        for table in self._accounts:
            for key in self._keys(address):
                if location := table.location(key):
                    return location
        return ""

    def _keys(self, address: str) -> dict[str, None]:
        local, domain = split_address(address)
        user, _ = split_local(local, self._delimiters)
        return dict.fromkeys((address, f"{user}@{domain}"))


def _limits(value: str, maps: Maps) -> Limits:
    try:
        return parse_limits(value)
    except ValueError as error:
        raise LookupFailed(f"{maps.title}: {error}") from None
