"""`fail:name`: every look-up fails, for tests and to take something out of service without losing mail."""

from __future__ import annotations

from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table


class FailTable(Table):
    """Never answers."""

    def get(self, key: str) -> str | None:
        raise LookupFailed(f"table {self.spec}: query error: Application error")

    def examine(self) -> None:
        self.get("")


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `fail:name`."""
    return FailTable(spec, options)
