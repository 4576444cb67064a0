"""Where an address goes: transport and next hop, as trivial-rewrite(8) of Postfix decides it.

In order: the address class gives transport and next hop; transport_maps (but for virtual alias domains, where all that
is left is unknown) and then relocated_maps may override both, and suppression_maps has the last word.
"""

from __future__ import annotations

import re

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.address.rewriting import split_written
from pillarbox.lib.clients.lookup import AddressClass, Route
from pillarbox.lib.clients.suppression import exempt, refusal
from pillarbox.lib.config import Config
from pillarbox.lib.config.address_rules import address_rules
from pillarbox.lib.config.parameters.bounce import DOUBLE_BOUNCE_SENDER
from pillarbox.lib.config.parameters.delivery import SUPPRESSION_MAPS
from pillarbox.lib.config.parameters.general import MYHOSTNAME, RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import (
    DEFAULT_TRANSPORT,
    LOCAL_TRANSPORT,
    PARENT_DOMAIN_MATCHES_SUBDOMAINS,
    RELAY_TRANSPORT,
    RELAYHOST,
    RELOCATED_MAPS,
    SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
    SENDER_DEPENDENT_RELAYHOST_MAPS,
    SHOW_USER_UNKNOWN_TABLE_NAME,
    TRANSPORT_MAPS,
    VIRTUAL_TRANSPORT,
)
from pillarbox.lib.config.parameters.rewriting import EMPTY_ADDRESS_RECIPIENT
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.keys import find_address, transport_keys
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.tableset import TableSet

STEPS_LIMIT = 50
"""Systems on a way that an address names (`a%b%c@here`)."""

_TRANSPORT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_UNDELIVERABLE = {"error": "5.0.0 Address is undeliverable", "retry": "4.0.0 Address is undeliverable"}


class Router:
    """Decisions for one configuration."""

    def __init__(self, config: Config, tables: TableSet, classes: Classes) -> None:
        self._classes = classes
        self._rules = address_rules(config)
        self._nobody = config[EMPTY_ADDRESS_RECIPIENT]
        self._hostname = config[MYHOSTNAME]
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._relayhost = config[RELAYHOST]
        self._transports: dict[AddressClass, tuple[str, str]] = {
            "local": _split(config[LOCAL_TRANSPORT]),
            "virtual_mailbox": _split(config[VIRTUAL_TRANSPORT]),
            "relay": _split(config[RELAY_TRANSPORT]),
            "default": _split(config[DEFAULT_TRANSPORT]),
        }
        self._transport_maps = tables.maps(TRANSPORT_MAPS)
        self._relocated = tables.maps(RELOCATED_MAPS)
        self._suppressed = tables.maps(SUPPRESSION_MAPS)
        self._double_bounce = config[DOUBLE_BOUNCE_SENDER]
        self._sender_relayhost = tables.maps(SENDER_DEPENDENT_RELAYHOST_MAPS)
        self._sender_transport = tables.maps(SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS)
        self._dotted_parents = "transport_maps" not in config[PARENT_DOMAIN_MATCHES_SUBDOMAINS]
        self._unknown_alias = (
            "5.1.1 User unknown in virtual alias table"
            if config[SHOW_USER_UNKNOWN_TABLE_NAME]
            else "5.1.1 User unknown"
        )

    def complete(self, address: str) -> str:
        """The address in standard form, with a domain: see `lib.address.rewriting`."""
        if not address:
            return f"{self._nobody}@{self._hostname}"
        address = self._rules.standard(address)
        if address[-1] == "@" or split_written(address)[1] is None:
            # With append_at_myorigin switched off, or of a null domain: still a user of ours.
            return f"{address.removesuffix('@')}@{self._hostname}"
        return address

    def resolve(self, address: str, sender: str = "") -> Route:
        """The route of `address`.  Raises LookupFailed."""
        address = self._arrived(self.complete(address))
        domain = split_address(address)[1]
        address_class = self._classes.of(domain)
        transport, nexthop = self._by_class(address_class, domain, sender)
        if self._transport_maps and address_class != "virtual_alias":
            transport, nexthop = self._override(address, domain, transport, nexthop)
        if self._relocated:
            moved = find_address(self._relocated, address, self._delimiters, self._classes.is_own)
            if moved is not None:
                transport, nexthop = "error", f"5.1.6 User has moved to {moved.value}"
        if self._suppressed and not exempt(address, self._double_bounce):
            reason = find_address(self._suppressed, address, self._delimiters, lambda domain: False)
            if reason is not None:
                transport, nexthop = "error", refusal(reason.value, self._hostname)
        return Route(transport, nexthop, address, address_class)

    def carries_route(self, address: str) -> bool:
        """Whether a resolved address that is not local names a further way, which its server may follow."""
        local, domain = split_address(address)
        return self._rules.carries_route(unquote_local(local)) and self._classes.of(domain) != "local"

    def _arrived(self, address: str) -> str:
        """Where an address leads that names a way through this system: `ann%far.example@here` to `ann@far.example`.

        Each step takes a domain away; of absurdly many the rest stays.
        """
        for _ in range(STEPS_LIMIT):
            local, domain = split_address(address)
            if self._rules.quick(local) or self._classes.of(domain) != "local":
                break
            onward = self._rules.routed(local)
            if onward is None:
                break
            address = self.complete(onward)
        return address

    def _by_class(self, address_class: AddressClass, domain: str, sender: str) -> tuple[str, str]:
        if address_class == "virtual_alias":
            return "error", self._unknown_alias
        transport, nexthop = self._transports[address_class]
        if address_class in ("relay", "default"):
            if address_class == "default":
                chosen = self._by_sender(self._sender_transport, sender)
                if chosen:
                    own_transport, own_nexthop = _split(chosen)
                    transport, nexthop = own_transport or transport, own_nexthop
            if not nexthop and transport not in _UNDELIVERABLE:
                nexthop = self._by_sender(self._sender_relayhost, sender) or self._relayhost
        return transport, nexthop or _UNDELIVERABLE.get(transport, domain)

    def _by_sender(self, maps: Maps, sender: str) -> str:
        if not maps:
            return ""
        if sender:
            found = find_address(maps, self.complete(sender), self._delimiters, lambda domain: False)
            value = found.value if found is not None else ""
        else:
            value = maps.find("<>") or ""
        return "" if value.upper() == "DUNNO" else value

    def _override(self, address: str, domain: str, transport: str, nexthop: str) -> tuple[str, str]:
        """transport(5): an empty part of the value changes nothing; a transport alone has the domain as next hop."""
        local = split_address(address)[0]
        keys = transport_keys(
            f"{local}@{normalize_domain(domain)}", self._delimiters, parents_with_dot=self._dotted_parents
        )
        for key, partial in keys:
            value = self._transport_maps.find(key, partial=partial)
            if value is None:
                continue
            own_transport, own_nexthop = _split(value)
            if own_transport and not _TRANSPORT_NAME.fullmatch(own_transport):
                raise LookupFailed(f'transport_maps: "transport:nexthop" was expected for {key}, not "{value}"')
            if own_transport:
                return own_transport, own_nexthop or _UNDELIVERABLE.get(own_transport, domain)
            return transport, own_nexthop or nexthop
        return transport, nexthop


def _split(value: str) -> tuple[str, str]:
    transport, _, nexthop = value.partition(":")
    return transport.strip(), nexthop.strip()
