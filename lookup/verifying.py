"""Where probes of address verification go, which may be another way than mail has (postconf(5) `address_verify_*`)."""

from __future__ import annotations

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.tables import Maps
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.routing import Router
from pillarbox.lookup.tableset import PROBES, TableSet

WORDS = ("local_transport", "virtual_transport", "relay_transport", "default_transport", "relayhost")
TABLES = ("transport_maps", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps")
"""Parameters in whose place probes have those with the prefix."""


class _Tables(TableSet):
    """The open tables of the others, where probes have their own."""

    def __init__(self, tables: TableSet) -> None:
        self._others = tables

    def maps(self, parameter: Parameter[tuple[str, ...]]) -> Maps:
        if parameter.name in TABLES and (found := self._others.named(PROBES + parameter.name)) is not None:
            return found
        return self._others.maps(parameter)


def verifying_router(config: Config, tables: TableSet, classes: Classes, router: Router) -> Router:
    """The router for probes: `router` itself where they have no way of their own."""
    names = (*WORDS, *TABLES)
    if all(config.expanded(PROBES + name) == config.expanded(name) for name in names):
        return router
    own = {name: config.expanded(PROBES + name) for name in names}
    return Router(Config({**config.values, **own}, config.services), _Tables(tables), classes)
