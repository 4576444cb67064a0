"""`inline:{key=value, {key = value with blanks}}`: a small table in the configuration itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.names import braced, split_items, unbraced
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table, fold


class InlineTable(Table):
    """A table in memory that never changes."""

    def __init__(self, spec: str, entries: Mapping[str, str], options: Options) -> None:
        super().__init__(spec, options)
        self._entries = entries

    def get(self, key: str) -> str | None:
        return self._entries.get(self._folded(key))

    def items(self) -> Iterator[tuple[str, str]]:
        yield from self._entries.items()


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `inline:{...}`."""
    inside = braced(spec.partition(":")[2])
    if not inside:
        raise TableError(f'bad syntax: "{spec}"; need "inline:{{name=value...}}"')
    entries: dict[str, str] = {}
    try:
        items = split_items(inside)
    except ValueError as error:
        raise TableError(f'bad syntax: "{spec}"; {error}') from None
    for item in items:
        key, equals, value = unbraced(item).partition("=")
        key = key.strip()
        if not equals or not key:  # Postfix takes an empty key, which nobody asks for
            raise TableError(f'bad syntax: "{spec}"; missing \'=\' after attribute name: "{item}"')
        entries[fold(key) if options.fold else key] = value.strip()
    return InlineTable(spec, entries, options)
