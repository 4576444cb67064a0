"""`pipemap:{type:name, ...}`: the value that one table gives is the key for the next."""

from __future__ import annotations

import functools
import operator

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.names import braced, split_items
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Reach, Table


class Composite(Table):
    """A table made of tables."""

    def __init__(self, spec: str, members: list[Table], options: Options) -> None:
        super().__init__(spec, options)
        self.members = members
        self.patterns = members[0].patterns  # the first decides, as in Postfix

    def preload(self) -> None:
        for member in self.members:
            member.preload()

    def examine(self) -> None:
        for member in self.members:
            member.examine()

    def files(self) -> tuple[str, ...]:
        return tuple(file for member in self.members for file in member.files())

    def reach(self) -> Reach:
        return functools.reduce(operator.or_, (member.reach() for member in self.members), Reach())

    def close(self) -> None:
        for member in self.members:
            member.close()


class PipeTable(Composite):
    """Not found as soon as one table has not the key; fails where one fails."""

    def get(self, key: str) -> str | None:
        value: str | None = key
        for member in self.members:
            if value is None:
                return None
            value = member.get(value)
        return value


def open_members(spec: str, options: Options, registry: Registry) -> list[Table]:
    """The tables that a composite name lists.  Raises TableError."""
    inside = braced(spec.partition(":")[2])
    try:
        items = split_items(inside or "")
    except ValueError:
        items = []
    if not items:
        kind = spec.partition(":")[0]
        raise TableError(f'bad syntax: "{spec}"; need "{kind}:{{type:name...}}"')
    return [registry.open(item, options) for item in items]


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `pipemap:{...}`."""
    return PipeTable(spec, open_members(spec, options, registry), options)
