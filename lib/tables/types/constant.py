"""`hash:`, `btree:` and `cdb:`: the constant database FILE.cdb that postmap and postalias build.

All three names mean the same file, so that configurations from elsewhere work as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.log import log
from pillarbox.lib.tables.cdb import CdbReader, CorruptTable
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.lines import decode, encode
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table
from pillarbox.lib.tables.watch import FileTable

SUFFIX = ".cdb"


class ConstantTable(FileTable[CdbReader]):
    """Look-ups in FILE.cdb."""

    def _load(self, descriptor: int) -> CdbReader:
        try:
            return CdbReader(os.dup(descriptor))
        except CorruptTable as error:
            raise ValueError(f"{self.path} is corrupt: {error}; build it again with postmap or postalias") from None

    def get(self, key: str) -> str | None:
        reader = self._current()
        if self.options.fold:
            key = self._folded(key)
        try:
            value = reader.get(encode(key))
        except (CorruptTable, OSError) as error:
            log.error(f"table {self.spec}: {self.path} is corrupt: {error}")
            raise LookupFailed(f"table {self.spec}: {self.path}: {error}") from None
        return None if value is None else decode(value)

    def items(self) -> Iterator[tuple[str, str]]:
        try:
            for key, value in self._current().items():
                yield decode(key), decode(value)
        except (CorruptTable, OSError) as error:
            raise LookupFailed(f"table {self.spec}: {self.path}: {error}") from None


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `hash:FILE`."""
    return ConstantTable(spec, spec.partition(":")[2] + SUFFIX, options)
