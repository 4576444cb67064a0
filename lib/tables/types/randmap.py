"""`randmap:{value, value, ...}`: one of the values at random, for spreading over next hops."""

from __future__ import annotations

import random

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.names import braced, split_items
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table


class RandomTable(Table):
    """A choice of values."""

    def __init__(self, spec: str, values: list[str], options: Options) -> None:
        super().__init__(spec, options)
        self._values = values

    def get(self, key: str) -> str | None:
        return random.choice(self._values)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `randmap:{...}`."""
    inside = braced(spec.partition(":")[2])
    try:
        values = split_items(inside or "")  # braces around a value are part of it, as in Postfix
    except ValueError:
        values = []
    if not values:
        raise TableError(f'bad syntax: "{spec}"; need "randmap:{{value...}}"')
    return RandomTable(spec, values, options)
