"""Building the files of indexed tables: what postmap and postalias do, atomically.

Promises: readers see the old file or the new one, whole, also after power loss; the new file has the owner and mode it
was asked to have from the first byte.  Entries are held in memory while they are sorted out (duplicates), about 200
bytes each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from pillarbox.lib.system.files import sync_directory
from pillarbox.lib.tables.cdb import CdbReader, CorruptTable, write_cdb
from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.lines import Warn, decode, encode
from pillarbox.lib.tables.registry import STANDARD
from pillarbox.lib.tables.table import fold

Duplicates = Literal["warn", "ignore", "replace"]
"""What to do with a key that is there already: keep the first and warn, keep it silently, or take the new value."""

Entries = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """How the tables of a type are kept in files."""

    suffix: str
    read: Callable[[str], Entries]
    write: Callable[[str, Mapping[bytes, bytes]], None]
    """Write a whole new file at a path that exists and is empty."""


def _read_cdb(path: str) -> Entries:
    reader = CdbReader(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    try:
        entries: Entries = {}
        for key, value in reader.items():
            entries.setdefault(key, value)
        return entries
    finally:
        reader.close()


def _write_cdb(path: str, entries: Mapping[bytes, bytes]) -> None:
    stream: BinaryIO
    with open(path, "r+b", buffering=1 << 20) as stream:
        write_cdb(stream, entries.items())
        stream.flush()
        os.fsync(stream.fileno())


def _read_lmdb(path: str) -> Entries:
    import lmdb

    try:
        with (
            contextlib.closing(lmdb.open(path, subdir=False, readonly=True, lock=False)) as environment,
            environment.begin() as transaction,
        ):
            return {
                bytes(key).removesuffix(b"\0"): bytes(value).removesuffix(b"\0") for key, value in transaction.cursor()
            }
    except lmdb.Error as error:
        raise CorruptTable(str(error)) from None


def _write_lmdb(path: str, entries: Mapping[bytes, bytes]) -> None:
    import lmdb

    size = sum(len(key) + len(value) + 64 for key, value in entries.items()) * 3 + (1 << 20)
    try:
        with (
            contextlib.closing(lmdb.open(path, subdir=False, lock=False, map_size=size, create=True)) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key, value in entries.items():
                transaction.put(key + b"\0", value + b"\0")
    except lmdb.Error as error:
        raise TableError(f"write {path}: {error}") from None


_CDB = Format(".cdb", _read_cdb, _write_cdb)
FORMATS: dict[str, Format] = {
    "hash": _CDB,
    "btree": _CDB,
    "cdb": _CDB,
    "lmdb": Format(".lmdb", _read_lmdb, _write_lmdb),
}
"""The types whose files can be built."""


def format_of(kind: str) -> Format:
    """The file format of a type.  Raises TableError where the type cannot be built."""
    found = FORMATS.get(kind)
    if found is None:
        if kind in STANDARD.types():
            raise TableError(f"unsupported dictionary type: {kind} does not support bulk-mode creation.")
        raise TableError(f"unsupported dictionary type: {kind}")
    if kind == "lmdb":
        STANDARD.open("lmdb:")  # says what to install where the package is missing
    return found


class Builder:
    """Gathers the entries of one table file and writes it: `put` each, then `commit`.

    `path` is the name without suffix.  With `update` the entries that the file has now are taken over first.
    """

    def __init__(
        self,
        kind: str,
        path: str,
        *,
        fold_keys: bool = True,
        duplicates: Duplicates = "warn",
        warn: Warn = lambda text: None,
    ) -> None:
        self._format = format_of(kind)
        self.path = path + self._format.suffix
        self._fold = fold_keys
        self._duplicates = duplicates
        self._warn = warn
        self._entries: Entries = {}
        self._mode = 0o644
        self._owner: tuple[int, int] | None = None

    def owned_by(self, status: os.stat_result) -> None:
        """Take mode and, as root, owner from a file's status."""
        self._mode = status.st_mode & 0o777
        if os.geteuid() == 0:
            self._owner = (status.st_uid, status.st_gid)

    def with_mode(self, mode: int) -> None:
        """Give the new file this mode."""
        self._mode = mode

    def load(self) -> bool:
        """Take over the entries of the present file; False where there is none.  Raises OSError, CorruptTable."""
        try:
            self._entries = self._format.read(self.path)
        except FileNotFoundError:
            return False
        status = os.stat(self.path)
        self.owned_by(status)
        return True

    def put(self, key: str, value: str, *, place: str = "") -> None:
        """Add an entry; a duplicate key is dealt with as asked for."""
        wanted = encode(fold(key) if self._fold else key)
        if wanted in self._entries and self._duplicates != "replace":
            if self._duplicates == "warn":
                self._warn(f'{self.path}: duplicate entry: "{decode(wanted)}"')
            return
        self._entries[wanted] = encode(value)

    def put_own(self, key: str, value: str) -> None:
        """Add or replace an entry whose key is stored as it is."""
        self._entries[encode(key)] = encode(value)

    def remove(self, key: str) -> bool:
        """Take an entry out; False where it is not there."""
        return self._entries.pop(encode(fold(key) if self._fold else key), None) is not None

    def __len__(self) -> int:
        return len(self._entries)

    def commit(self) -> None:
        """Write the file in one step.  Raises OSError, TableError, ValueError (too large)."""
        directory, base = os.path.split(self.path)
        temporary = os.path.join(directory, f".{base}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                self._format.write(temporary, self._entries)
                if self._owner is not None:
                    os.fchown(descriptor, *self._owner)
                os.fchmod(descriptor, self._mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_directory(directory or ".")


@contextlib.contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Keep others who change the same table file out while an entry is changed.

    The lock is on the directory: the file itself is replaced, so that a lock on it would lock the past.
    """
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
