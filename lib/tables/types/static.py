"""`static:value` and `static:{value with blanks}`: the same value for every key."""

from __future__ import annotations

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.names import braced
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
    if not name.startswith("{"):
        return StaticTable(spec, name, options)
    inside = braced(name)
    if inside is None or not name.rstrip().endswith("}"):
        raise TableError(f'bad static:name syntax: one pair of braces around all of it was expected in "{name}"')
    return StaticTable(spec, inside, options)
