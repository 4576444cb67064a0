"""Several keys in tables that a list names: restriction lists, login maps and reply maps, the SMTP client's tables, and
those of content checks that ask servers.

Only the tables are asked that main.yaml or the options of a service name for such a purpose; which they are is read
from the configuration, not from the request.
"""

from __future__ import annotations

import functools
import operator

from pillarbox.lib.config import Config
from pillarbox.lib.config.access import access_tables, content_tables
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.ipc import Attributes, ProtocolError
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.keys import find_address
from pillarbox.lib.tables.remote import remote_parts
from pillarbox.lib.tables.table import Reach
from pillarbox.lookup.classes import Classes
from pillarbox.lookup.request import Reply, request_key
from pillarbox.lookup.routing import Router
from pillarbox.lookup.tableset import TableSet

KEYS_LIMIT = 300
"""Keys of one question: a domain of 127 labels, its parents and then some."""

LONG_KEY_LIMIT = 200_000
"""Characters of a key: header fields may be long (header_size_limit); it fits into a question."""

TITLE = "access policy"


class Access:
    """The tables of one configuration."""

    def __init__(self, config: Config, tables: TableSet, classes: Classes, router: Router) -> None:
        remote = (part for spec in content_tables(config) for part in remote_parts(spec))
        self._maps = {spec: tables.in_list(TITLE, spec) for spec in (*access_tables(config), *remote)}
        self._delimiters = config[RECIPIENT_DELIMITER]
        self._complete = router.complete
        self._is_own = classes.is_own

    def find(self, request: Attributes) -> Reply:
        """The first of the keys that a table has.  Raises LookupFailed, ProtocolError."""
        keys, partial = request.texts("keys"), request.text("partial")
        if len(keys) > KEYS_LIMIT or len(keys) != len(partial) or any(len(key) > LONG_KEY_LIMIT for key in keys):
            raise ProtocolError("keys: some keys, and as many digits in partial, were expected")
        maps = self.named(request)
        for key, part in zip(keys, partial, strict=True):
            value = maps.find(key, partial=part == "1")
            if value is not None:
                return {"ok": True, "key": key, "value": value}
        return {"ok": True}

    def owners(self, request: Attributes) -> Reply:
        """What the tables have for an address.  Raises LookupFailed, ProtocolError."""
        address = self._complete(request_key(request, "address"))
        found = find_address(self.named(request), address, self._delimiters, self._is_own)
        return {"ok": True} if found is None else {"ok": True, "key": address, "value": found.value}

    def named(self, request: Attributes) -> Maps:
        """The tables that a request names.  Raises LookupFailed, ProtocolError."""
        named = []
        for spec in request.texts("tables"):
            maps = self._maps.get(spec)
            if maps is None:
                raise LookupFailed(f'"{spec[:100]}" is no table that the configuration names for such questions')
            named.append(maps)
        return Maps(TITLE, (table for maps in named for table in maps.tables))

    def preload(self) -> None:
        """Load the tables."""
        for maps in self._maps.values():
            maps.preload()

    def files(self) -> tuple[str, ...]:
        """The files that the tables read."""
        return tuple(file for maps in self._maps.values() for file in maps.files())

    def reach(self) -> Reach:
        """The servers that look-ups in the tables ask."""
        return functools.reduce(operator.or_, (maps.reach() for maps in self._maps.values()), Reach())
