"""May mail for this address be accepted: a domain of ours, and a user that its tables know.

An address that virtual aliases or canonical tables know is accepted whatever its class says.  A class without
recipient tables accepts every user.
"""

from __future__ import annotations

import re

from pillarbox.lib.clients.lookup import AddressClass, RecipientVerdict, Route
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import (
    CANONICAL_MAPS,
    LOCAL_RECIPIENT_MAPS,
    RECIPIENT_CANONICAL_MAPS,
    RELAY_RECIPIENT_MAPS,
    SHOW_USER_UNKNOWN_TABLE_NAME,
    VIRTUAL_ALIAS_MAPS,
    VIRTUAL_MAILBOX_MAPS,
)
from pillarbox.lib.config.parameters.rewriting import ALLOW_UNTRUSTED_ROUTING
from pillarbox.lib.tables import Maps
from pillarbox.lib.tables.keys import find_address
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.forwarding import Forwarding, SrsError
from pillarbox.lookup.quotas import Quotas
from pillarbox.lookup.routing import Router
from pillarbox.lookup.tableset import TableSet

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\s+")
_TABLE_NAMES: dict[AddressClass, str] = {
    "local": "local recipient table",
    "virtual_alias": "virtual alias table",
    "virtual_mailbox": "virtual mailbox table",
    "relay": "relay recipient table",
}


class Recipients:
    """Verdicts for one configuration."""

    def __init__(
        self, config: Config, tables: TableSet, classes: Classes, router: Router, forwarding: Forwarding
    ) -> None:
        self._forwarding = forwarding
        self._classes = classes
        self._router = router
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._rewritten = tuple(
            maps
            for parameter in (RECIPIENT_CANONICAL_MAPS, CANONICAL_MAPS, VIRTUAL_ALIAS_MAPS)
            if (maps := tables.maps(parameter))
        )
        self._users: dict[AddressClass, Maps] = {
            "local": tables.maps(LOCAL_RECIPIENT_MAPS),
            "virtual_mailbox": tables.maps(VIRTUAL_MAILBOX_MAPS),
            "relay": tables.maps(RELAY_RECIPIENT_MAPS),
        }
        self._quotas = Quotas(config, tables)
        self._routing = config[ALLOW_UNTRUSTED_ROUTING]
        self._name_table = config[SHOW_USER_UNKNOWN_TABLE_NAME]

    def verdict(self, address: str) -> RecipientVerdict:
        """The verdict.  Raises LookupFailed."""
        try:
            if self._forwarding.back(address) is not None:
                return RecipientVerdict("ok", "default")
        except SrsError as error:
            return RecipientVerdict("unknown", "default", str(error), 550, "5.1.1")
        route = self._router.resolve(address)
        address, address_class = route.recipient, route.address_class
        if any(self._known(maps, address) for maps in self._rewritten):
            return RecipientVerdict("ok", address_class)
        if address_class == "virtual_alias" and route.transport == "error":
            return self._unknown(address_class)
        if route.transport in ("error", "retry"):
            return _undeliverable(route)
        users = self._users.get(address_class)
        if users and not self._known(users, address):
            return self._unknown(address_class)
        if address_class == "default" or (not self._routing and self._router.carries_route(address)):
            return RecipientVerdict("relay_denied", address_class, "Relay access denied", 554, "5.7.1")
        if address_class == "virtual_mailbox":
            quotas = self._quotas
            return RecipientVerdict("ok", address_class, quota=quotas.grant(address), location=quotas.location(address))
        return RecipientVerdict("ok", address_class)

    def _known(self, maps: Maps, address: str) -> bool:
        return find_address(maps, address, self._delimiters, self._classes.is_own) is not None

    def _unknown(self, address_class: AddressClass) -> RecipientVerdict:
        text = f"User unknown in {_TABLE_NAMES[address_class]}" if self._name_table else "User unknown"
        return RecipientVerdict("unknown", address_class, text, 550, "5.1.1")


def _undeliverable(route: Route) -> RecipientVerdict:
    """The reason that a table gives as next hop of `error` or `retry`: `5.1.6 User has moved to ...`."""
    temporary = route.transport == "retry"
    match = _STATUS.match(route.nexthop)
    text = route.nexthop[match.end() :] if match else route.nexthop
    dsn = match[1] if match else "4.0.0" if temporary else "5.0.0"
    dsn = ("4" if temporary else "5") + dsn[1:]
    return RecipientVerdict("error", route.address_class, text, 450 if temporary else 550, dsn)
