"""`unionmap:{type:name, ...}`: the key is looked up in every table, the values are joined by commas."""

from __future__ import annotations

from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table
from pillarbox.lib.tables.types.pipemap import Composite, open_members


class UnionTable(Composite):
    """Found where one table has the key; fails where one fails."""

    def get(self, key: str) -> str | None:
        found = [value for member in self.members if (value := member.get(key)) is not None]
        return ",".join(found) if found else None


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `unionmap:{...}`."""
    return UnionTable(spec, open_members(spec, options, registry), options)
