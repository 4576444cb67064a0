"""Canonical addresses and masquerading: what an address is rewritten to where it stands, canonical(5).

In order: the table of senders or of recipients, the common table, masquerading; each where the classes of the
configuration have the place (postconf(5), canonical_classes and its kin).
"""

from __future__ import annotations

from pillarbox.lib.clients.lookup import Position
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.lookup import CANONICAL_MAPS, RECIPIENT_CANONICAL_MAPS, SENDER_CANONICAL_MAPS
from pillarbox.lib.config.parameters.rewriting import (
    CANONICAL_CLASSES,
    CLASSES,
    RECIPIENT_BCC_MAPS,
    RECIPIENT_CANONICAL_CLASSES,
    SENDER_BCC_MAPS,
    SENDER_CANONICAL_CLASSES,
)
from pillarbox.lib.tables import Maps
from pillarbox.lookup.mapping import Mapping
from pillarbox.lookup.masquerade import Masquerade
from pillarbox.lookup.tableset import TableSet


class Rewriting:
    """The tables of one configuration."""

    def __init__(self, config: Config, tables: TableSet, mapping: Mapping) -> None:
        self._mapping = mapping
        self.masquerade = Masquerade(config, tables)
        pairs = (
            (SENDER_CANONICAL_MAPS, SENDER_CANONICAL_CLASSES),
            (RECIPIENT_CANONICAL_MAPS, RECIPIENT_CANONICAL_CLASSES),
            (CANONICAL_MAPS, CANONICAL_CLASSES),
        )
        opened = [(tables.maps(parameter), config[classes]) for parameter, classes in pairs]
        self._maps: dict[str, tuple[Maps, ...]] = {
            position: tuple(maps for maps, classes in opened if maps and position in classes) for position in CLASSES
        }
        self._copies = {"sender": tables.maps(SENDER_BCC_MAPS), "recipient": tables.maps(RECIPIENT_BCC_MAPS)}

    def canonical(self, address: str, position: Position) -> str | None:
        """What `address` is rewritten to in this place; None = it stays as it is.  Raises LookupFailed."""
        original = address = self._mapping.complete(address)
        for maps in self._maps[position]:
            address = self._mapping.replaced(maps, address, "canonical", repeat=True)
        if position in self.masquerade.classes:
            address = self.masquerade.apply(address)
        return None if address == original else address

    def copy_to(self, address: str, kind: str) -> str | None:
        """Who gets a blind copy of mail from (`sender`) or to (`recipient`) an address.  Raises LookupFailed."""
        return self._mapping.value(self._copies[kind], self._mapping.complete(address))
