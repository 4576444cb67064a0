"""`static:value` and `static:{value with blanks}`: the same value for every key."""

from __future__ import annotations

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.names import unbraced
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table


class StaticTable(Table):
    """One value."""

    def __init__(self, spec: str, value: str, options: Options) -> None:
        super().__init__(spec, options)
        self._value = value

    def get(self, key: str) -> str | None:
        return self._value


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `static:value`."""
    name = spec.partition(":")[2]
    if not name:
        raise TableError(f'open dictionary: expecting "type:name" form instead of "{spec}"')
    return StaticTable(spec, unbraced(name), options)
