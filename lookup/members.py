"""EXPN: whom an address stands for, one step, as far as a client may see it (RFC 5321 section 3.5.2).

What is no address (a file, a command, a list in a file) is not shown; that there is an alias is.
"""

from __future__ import annotations

from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Kind, parse_targets
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.expansion import Expansion
from pillarbox.lookup.recipients import Recipients
from pillarbox.lookup.tableset import TableSet

MEMBERS_LIMIT = 1000
"""Most addresses that are shown (virtual_alias_expansion_limit has the same default); the rest are passed over."""


class Members:
    """For one configuration."""

    def __init__(self, tables: TableSet, recipients: Recipients, expansion: Expansion) -> None:
        self._aliases = tables.maps(ALIAS_MAPS)
        self._recipients = recipients
        self._expansion = expansion

    def find(self, address: str) -> tuple[str, ...]:
        """Addresses, perhaps without domain; the address itself where nothing may be shown; () where it is no alias.

        Raises LookupFailed.
        """
        addresses = self._expansion.expand(address)
        if addresses is not None:
            return addresses[:MEMBERS_LIMIT]
        verdict = self._recipients.verdict(address)
        if verdict.status != "ok" or verdict.address_class != "local":
            return ()
        name = address.rpartition("@")[0]
        value = self._aliases.find(name)
        if value is None:
            return ()
        try:
            targets = parse_targets(value)
        except AliasSyntaxError as error:
            raise LookupFailed(f'alias "{name}": {error}') from None
        return tuple(target.value for target in targets if target.kind is Kind.ADDRESS)[:MEMBERS_LIMIT] or (address,)
