"""`texthash:FILE`: the source format of postmap, read into memory; no index file to build.

Nobody sees the warnings that postmap would give: a line that is no entry fails the look-ups that it may be about, so
that no mail is refused for a slip.  Where the line says no key, that is every key that is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from pillarbox.lib.log import log
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.source import parse_map
from pillarbox.lib.tables.table import Options, Table, fold
from pillarbox.lib.tables.watch import FileTable


@dataclass(slots=True)
class Content:
    """Entries, and what is wrong with the lines that are none, by key; "" = it is not known which."""

    entries: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


class TextTable(FileTable[Content]):
    """A table in memory.  Of duplicate keys the first holds, as in Postfix."""

    def _load(self, descriptor: int) -> Content:
        content = Content()

        def fault(key: str, text: str) -> None:
            content.faults.setdefault(self._folded(key), text)

        with os.fdopen(os.dup(descriptor), "rb") as stream:
            for entry in parse_map(stream, self.path, log.warning, suffix=" -- ignoring this line", fault=fault):
                key = fold(entry.key) if self.options.fold else entry.key
                if key in content.entries:
                    log.warning(f'{self.path}, line {entry.line}: duplicate entry: "{key}"')
                content.entries.setdefault(key, entry.value)
        return content

    def get(self, key: str) -> str | None:
        content = self._current()
        key = self._folded(key)
        value = content.entries.get(key)
        if value is None and content.faults:
            wrong = content.faults.get(key) or content.faults.get("")
            if wrong:
                raise LookupFailed(f"table {self.spec}: {wrong}")
        return value

    def items(self) -> Iterator[tuple[str, str]]:
        yield from self._current().entries.items()


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `texthash:FILE`."""
    return TextTable(spec, spec.partition(":")[2], options)
