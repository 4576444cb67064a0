"""The class of an address, which its domain decides: local, virtual alias, virtual mailbox, relay, or default.

The first list that has the domain wins, in this order: mydestination (and address literals of this system),
virtual_alias_domains, virtual_mailbox_domains, relay_domains.
"""

from __future__ import annotations

import functools
import operator

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.address.domain import literal_address
from pillarbox.lib.clients.lookup import AddressClass
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.general import INET_INTERFACES, MYDESTINATION, MYORIGIN
from pillarbox.lib.config.parameters.lookup import (
    FAST_FLUSH_DOMAINS,
    PARENT_DOMAIN_MATCHES_SUBDOMAINS,
    RELAY_DOMAINS,
    VIRTUAL_ALIAS_DOMAINS,
    VIRTUAL_MAILBOX_DOMAINS,
)
from pillarbox.lib.log import log
from pillarbox.lib.system.interfaces import own_addresses
from pillarbox.lib.tables.table import Reach
from pillarbox.lookup.domains import DomainList
from pillarbox.lookup.tableset import TableSet

LISTS = (FAST_FLUSH_DOMAINS,)
"""Lists of domains that decide no class, but which programs ask for."""


class Classes:
    """The lists of domains of one configuration."""

    def __init__(self, config: Config, tables: TableSet) -> None:
        parents = config[PARENT_DOMAIN_MATCHES_SUBDOMAINS]

        def domain_list(parameter: Parameter[tuple[str, ...]]) -> DomainList:
            words = config[parameter]
            return DomainList(parameter.name, words, tables, parents=parameter.name in parents)

        self._local = domain_list(MYDESTINATION)
        self._alias = domain_list(VIRTUAL_ALIAS_DOMAINS)
        self._mailbox = domain_list(VIRTUAL_MAILBOX_DOMAINS)
        self._relay = domain_list(RELAY_DOMAINS)
        self._others = {
            parameter.name: self._relay
            if config[parameter] == config[RELAY_DOMAINS] and {parameter.name, RELAY_DOMAINS.name} <= set(parents)
            else domain_list(parameter)
            for parameter in LISTS
        }
        self._origin = normalize_domain(config[MYORIGIN])
        interfaces = config[INET_INTERFACES]
        self._addresses = own_addresses(interfaces)
        self._warned: set[str] = set()

    def of(self, domain: str) -> AddressClass:
        """The class of addresses in `domain` (as written).  Raises LookupFailed."""
        domain = normalize_domain(domain)
        if self._is_local(domain):
            self._warn_of_second_list(domain)
            return "local"
        if self._alias and self._alias.matches(domain):
            return "virtual_alias"
        if self._mailbox and self._mailbox.matches(domain):
            return "virtual_mailbox"
        if self._relay and self._relay.matches(domain):
            return "relay"
        return "default"

    def listed(self, parameter: str, domain: str) -> bool | None:
        """Whether one of `LISTS` has `domain` (as written); None where it is no such list.  Raises LookupFailed."""
        chosen = self._others.get(parameter)
        return None if chosen is None else chosen.matches(normalize_domain(domain))

    def is_own(self, domain: str) -> bool:
        """Whether a bare user name is looked up for addresses in `domain`: it is ours in the local sense."""
        domain = normalize_domain(domain)
        return domain == self._origin or self._is_local(domain)

    def _is_local(self, domain: str) -> bool:
        if domain.startswith("["):
            return literal_address(domain) in self._addresses
        return self._local.matches(domain)

    def _warn_of_second_list(self, domain: str) -> None:
        if domain in self._warned or len(self._warned) > 1000:
            return
        self._warned.add(domain)
        for second in (self._alias, self._mailbox):
            if second.names(domain):
                log.warning(f"do not list domain {domain} in BOTH mydestination and {second.parameter}")

    def preload(self) -> None:
        """Load the tables of the lists."""
        for each in dict.fromkeys(self._all()):
            each.preload()

    def files(self) -> tuple[str, ...]:
        """The files that the lists read."""
        return tuple(file for each in self._all() for file in each.files())

    def reach(self) -> Reach:
        """The servers that look-ups in the lists ask."""
        return functools.reduce(operator.or_, (each.reach() for each in self._all()), Reach())

    def _all(self) -> tuple[DomainList, ...]:
        return (self._local, self._alias, self._mailbox, self._relay, *self._others.values())
