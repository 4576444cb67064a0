"""The open tables of the configuration, by parameter.

A parameter of the kind "tables" is opened when first asked for, or all at once by `preload`.  Where a result names a
program, file, transport or user, results may not contain parts of the key.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import replace
from typing import cast

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameter import Parameter
from pillarbox.lib.config.parameters.lookup import ALIAS_DATABASE
from pillarbox.lib.config.values import all_parameters
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed, Maps, Options, Registry, Table, TableError
from pillarbox.lib.tables.table import Reach

SENSITIVE = frozenset(
    (
        "address_verify_sender_dependent_default_transport_maps",
        "address_verify_sender_dependent_relayhost_maps",
        "address_verify_transport_maps",
        "alias_maps",
        "fallback_transport_maps",
        "mailbox_command_maps",
        "mailbox_transport_maps",
        "sender_dependent_default_transport_maps",
        "sender_dependent_relayhost_maps",
        "transport_maps",
        "virtual_gid_maps",
        "virtual_mailbox_maps",
        "virtual_uid_maps",
    )
)
"""Parameters whose tables may not use `$1`: the sender of a mail would choose what runs or where it is written."""

AUTHENTIC = frozenset(
    ("alias_maps", "mailbox_command_maps", "virtual_gid_maps", "virtual_mailbox_maps", "virtual_uid_maps")
)
"""Parameters whose tables say what is run and written as whom: no servers elsewhere, whose answers could be forged."""

PROBES = "address_verify_"
"""Parameters whose names begin so have, unless they are set, the tables of those without: they are opened once."""


class _Unusable(Table):
    """A table whose name makes no sense: nobody knows what it would say."""

    def __init__(self, spec: str, reason: str) -> None:
        super().__init__(spec, Options())
        self._reason = reason

    def get(self, key: str) -> str | None:
        raise LookupFailed(self._reason)


class TableSet:
    """The tables of one configuration."""

    def __init__(self, config: Config, registry: Registry, options: Options) -> None:
        self._config = config
        self._registry = registry
        self._options = options
        self._maps: dict[str, Maps] = {}
        self._tables = {
            name: cast("Parameter[tuple[str, ...]]", each)
            for name, each in all_parameters().items()
            if each.kind == "tables" and name != ALIAS_DATABASE.name  # that is what newaliases builds, asked by nobody
        }

    def maps(self, parameter: Parameter[tuple[str, ...]]) -> Maps:
        """The tables of a parameter; one that cannot be opened as it is written fails its look-ups."""
        found = self._maps.get(parameter.name)
        return self._open(parameter.name) if found is None else found

    def named(self, name: str) -> Maps | None:
        """The tables of the parameter called `name`; None where no such parameter names tables."""
        found = self._maps.get(name)
        if found is not None:
            return found
        return self._open(name) if name in self._tables else None

    def _open(self, name: str) -> Maps:
        specs = self._config[self._tables[name]]
        assert isinstance(specs, tuple)
        usual = self._tables.get(name.removeprefix(PROBES)) if name.startswith(PROBES) else None
        if usual is not None and specs == self._config[usual]:
            self._maps[name] = same = self.maps(usual)
            return same
        options = self._options
        if name in SENSITIVE:
            options = replace(options, substitution=False, authentic=name in AUTHENTIC)
        # A list may hold words beside its tables (smtpd_screening_access_list).
        maps = Maps(name, [self._table(name, spec, options) for spec in specs if ":" in spec])
        self._maps[name] = maps
        return maps

    def _table(self, name: str, spec: str, options: Options) -> Table:
        try:
            return self._registry.open(spec, options)
        except TableError as error:
            log.error(f"{name}: {error}")
            return _Unusable(spec, f"{name}: {error}")

    def in_list(self, parameter: str, spec: str) -> Maps:
        """A table that stands in a list of domains."""
        return Maps(parameter, (self._table(parameter, spec, self._options),))

    def _all(self) -> list[Maps]:
        found = []
        for name in self._tables:
            maps = self._maps.get(name)
            found.append(self._open(name) if maps is None else maps)
        return found

    def preload(self) -> None:
        """Open and load every table that the configuration names; what is wrong is logged and fails its look-ups."""
        for maps in self._all():
            maps.preload()

    def files(self) -> tuple[str, ...]:
        """The files of all tables."""
        return tuple(dict.fromkeys(file for maps in self._all() for file in maps.files()))

    def reach(self) -> Reach:
        """The servers that look-ups in the tables ask."""
        return functools.reduce(operator.or_, (maps.reach() for maps in self._all()), Reach())
