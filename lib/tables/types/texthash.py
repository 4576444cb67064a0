"""`texthash:FILE`: the source format of postmap, read into memory; no index file to build."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.log import log
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.source import parse_map
from pillarbox.lib.tables.table import Options, Table, fold
from pillarbox.lib.tables.watch import FileTable


class TextTable(FileTable[dict[str, str]]):
    """A table in memory.  Of duplicate keys the first holds, as in Postfix."""

    def _load(self, descriptor: int) -> dict[str, str]:
        entries: dict[str, str] = {}
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            for entry in parse_map(stream, self.path, log.warning, suffix=" -- ignoring this line"):
                key = fold(entry.key) if self.options.fold else entry.key
                if key in entries:
                    log.warning(f'{self.path}, line {entry.line}: duplicate entry: "{key}"')
                entries.setdefault(key, entry.value)
        return entries

    def get(self, key: str) -> str | None:
        return self._current().get(self._folded(key))

    def items(self) -> Iterator[tuple[str, str]]:
        yield from self._current().items()


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `texthash:FILE`."""
    return TextTable(spec, spec.partition(":")[2], options)
