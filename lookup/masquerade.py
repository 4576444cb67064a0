"""Masquerading: hosts behind a domain do not show in addresses (postconf(5), masquerade_domains)."""

from __future__ import annotations

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.rewriting import (
    MASQUERADE_CLASSES,
    MASQUERADE_DOMAINS,
    MASQUERADE_EXCEPTIONS,
)
from pillarbox.lib.tables.table import Reach
from pillarbox.lookup.domains import DomainList
from pillarbox.lookup.tableset import TableSet


class Masquerade:
    """For one configuration."""

    def __init__(self, config: Config, tables: TableSet) -> None:
        self.classes: tuple[str, ...] = config[MASQUERADE_CLASSES] if config[MASQUERADE_DOMAINS] else ()
        self._domains = tuple(_entry(word) for word in config[MASQUERADE_DOMAINS])
        # User names are compared as domains are: a list of words, tables and files, of which the first match decides.
        words = config[MASQUERADE_EXCEPTIONS]
        self._exceptions = DomainList(MASQUERADE_EXCEPTIONS.name, words, tables)

    def apply(self, address: str) -> str:
        """The address as the world sees it.  Raises LookupFailed."""
        local, domain = split_address(address)
        if not domain:
            return address
        folded = normalize_domain(domain)
        for hides, parent in self._domains:
            if folded == parent:
                return address
            if folded.endswith(f".{parent}"):
                if not hides or (self._exceptions and self._exceptions.has(normalize_domain(unquote_local(local)))):
                    return address
                return f"{local}@{parent}"
        return address

    def preload(self) -> None:
        """Load the tables of the exceptions."""
        self._exceptions.preload()

    def files(self) -> tuple[str, ...]:
        """The files that look-ups read."""
        return self._exceptions.files()

    def reach(self) -> Reach:
        """The servers that look-ups in the list ask."""
        return self._exceptions.reach()


def _entry(word: str) -> tuple[bool, str]:
    hides = True
    while word.startswith("!"):
        hides, word = not hides, word[1:]
    return hides, normalize_domain(word)
