"""`lmdb:FILE`: an LMDB database FILE.lmdb, as Postfix builds and reads it; needs the optional package `lmdb`.

Keys and values end in NUL, as Postfix writes them; without NUL they are found too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pillarbox.lib.tables.errors import LookupFailed, TableError
from pillarbox.lib.tables.lines import decode, encode
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table
from pillarbox.lib.tables.watch import FileTable

SUFFIX = ".lmdb"
KEY_LIMIT = 511
"""LMDB's own limit on the length of a key."""


class LmdbTable(FileTable[Any]):
    """Look-ups in FILE.lmdb.  Opened without lock file: the file is replaced as a whole, never written in place."""

    def _load(self, descriptor: int) -> Any:
        import lmdb

        try:
            return lmdb.open(f"/proc/self/fd/{descriptor}", subdir=False, readonly=True, lock=False, max_readers=1)
        except lmdb.Error as error:
            raise ValueError(f"{self.path} is corrupt: {error}; build it again with postmap") from None

    def get(self, key: str) -> str | None:
        environment = self._current()
        wanted = encode(self._folded(key))
        if not wanted or len(wanted) >= KEY_LIMIT:
            return None
        import lmdb

        try:
            with environment.begin() as transaction:
                value = transaction.get(wanted + b"\0")
                if value is None:
                    value = transaction.get(wanted)
        except lmdb.Error as error:
            raise LookupFailed(f"table {self.spec}: {error}") from None
        return None if value is None else decode(bytes(value).removesuffix(b"\0"))

    def items(self) -> Iterator[tuple[str, str]]:
        with self._current().begin() as transaction:
            for key, value in transaction.cursor():
                yield decode(bytes(key).removesuffix(b"\0")), decode(bytes(value).removesuffix(b"\0"))


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `lmdb:FILE`."""
    try:
        import lmdb  # noqa: F401
    except ImportError:
        raise TableError("table type lmdb needs the Python package lmdb (pip install 'pillarbox[lmdb]')") from None
    return LmdbTable(spec, spec.partition(":")[2] + SUFFIX, options)
