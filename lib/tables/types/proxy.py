"""`proxy:type:name`: through the lookup process.  Here we are that process, so it is the table itself."""

from __future__ import annotations

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open what `proxy:type:name` names."""
    inner = spec.partition(":")[2]
    if ":" not in inner or inner.startswith("proxy:"):
        raise TableError(f'open dictionary: expecting "type:name" form instead of "{spec}"')
    return registry.open(inner, options)
