"""`environ:name`: the environment of the process; the name after the colon is not used."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table


class EnvironTable(Table):
    """Variable name -> value.  Keys are folded as everywhere (Postfix does it too), names are not."""

    def get(self, key: str) -> str | None:
        return os.environ.get(self._folded(key))

    def items(self) -> Iterator[tuple[str, str]]:
        yield from os.environ.items()


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `environ:name`."""
    if spec.endswith(":"):
        raise TableError(f'open dictionary: expecting "type:name" form instead of "{spec}"')
    return EnvironTable(spec, options)
