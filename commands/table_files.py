"""What postmap and postalias share: finding the table, asking it, changing one entry, building it from a source.

The two differ in the grammar of the source and in how an entry is written out.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from pillarbox.commands.options import Command, Fatal, output
from pillarbox.lib.tables import STANDARD, LookupFailed, Options, Table, TableError
from pillarbox.lib.tables.blocking import waiting_allowed
from pillarbox.lib.tables.build import FORMATS, Builder, Duplicates, exclusive
from pillarbox.lib.tables.cdb import CorruptTable
from pillarbox.lib.tables.lines import Warn, decode
from pillarbox.lib.tables.source import Entry

Parser = Callable[[Iterable[bytes], str, Warn], Iterator[Entry]]


@dataclass(slots=True)
class Task:
    """What the options asked for."""

    command: Command
    parse: Parser
    separator: str
    """Between key and value in what -s and -q - print."""
    config_option: str | None = None
    fold: bool = True
    incremental: bool = False
    duplicates: Duplicates = "warn"
    keep_root: bool = False
    inherit_mode: bool = True
    json: bool = False
    extra: Callable[[Builder], None] | None = None
    """Entries that the command adds of its own."""
    value_of: Callable[[str], str] = str
    """From a source's value to the stored one; raises OSError or ValueError."""
    shown: Callable[[str], str] = str
    """From the stored value to the printed one; raises ValueError."""

    def typed(self, name: str) -> tuple[str, str]:
        """(type, path) of `[type:]file`; the default type is the configuration's."""
        kind, colon, path = name.partition(":")
        if colon:
            if not path:
                raise Fatal(f'open dictionary: expecting "type:name" form instead of "{name}"')
            return kind, path
        return default_type(self.config_option), name

    # --- asking
    def open(self, name: str) -> Table:
        """Open for look-ups.  Raises Fatal where the table cannot be used at all."""
        kind, path = self.typed(name)
        try:
            table = STANDARD.open(f"{kind}:{path}", Options(fold=self.fold))
        except TableError as error:
            raise Fatal(str(error)) from None
        for file in table.files():
            try:
                os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                what = "open database" if kind in FORMATS else "open"
                raise Fatal(f"{what} {file}: {error.strerror}") from None
        return table

    def query(self, names: Sequence[str], key: str) -> int:
        """-q KEY: print the value of the first table that has it."""
        if not key:
            return 1
        for name in names:
            table = self.open(name)
            value = self._get(table, key)
            if value is not None:
                self._look_at(table, key, value)
                self._print(key, value, with_key=self.json)
                return 0
        return 1

    def query_lines(self, names: Sequence[str], keys: Iterable[str]) -> int:
        """-q -: the same for each key, with the key before the value."""
        tables = [self.open(name) for name in names]
        found = False
        for key in keys:
            for table in tables:
                value = self._get(table, key)
                if value is not None:
                    self._look_at(table, key, value)
                    self._print(key, value, with_key=True)
                    found = True
                    break
        return 0 if found else 1

    def _look_at(self, table: Table, key: str, value: str) -> None:
        if not value:
            self.command.warn(f"table {table.spec}: key {key}: empty string result is not allowed")
            self.command.warn(f"table {table.spec} should return NO RESULT in case of NOT FOUND")

    def _get(self, table: Table, key: str) -> str | None:
        try:
            with waiting_allowed():
                value = table.get(key)
            return None if value is None else self.shown(value)
        except LookupFailed as error:
            raise Fatal(_query_error(table, error.reason)) from None
        except ValueError as error:
            raise Fatal(f"table {table.spec}: key {key}: {error}") from None

    def _print(self, key: str, value: str, *, with_key: bool) -> None:
        if self.json:
            import json

            output(json.dumps({key: value}, ensure_ascii=False))
        else:
            output(f"{key}{self.separator}{value}" if with_key else value)

    def list(self, names: Sequence[str]) -> int:
        """-s: print every entry."""
        for name in names:
            table = self.open(name)
            try:
                for key, value in table.items():
                    self._print(key, self.shown(value), with_key=True)
            except LookupFailed as error:
                raise Fatal(_query_error(table, error.reason)) from None
            except TableError:
                raise Fatal(f"table {table.spec}: sequence operation is not supported") from None
            except ValueError as error:
                raise Fatal(f"table {table.spec}: {error}") from None
        return 0

    # --- changing
    def delete(self, names: Sequence[str], keys: Sequence[str]) -> int:
        """-d: take keys out; status 1 where no table had any."""
        found = False
        for name in names:
            builder = self._builder(name)
            with self._changing(builder):
                if not builder.load():
                    raise Fatal(f"open database {builder.path}: {os.strerror(2)}")
                removed = [builder.remove(key) for key in keys if key]
                if any(removed):
                    found = True
                    builder.commit()
        return 0 if found else 1

    def build(self, names: Sequence[str]) -> int:
        """Build each table from its source, or with -i add what comes on standard input."""
        for name in names:
            builder = self._builder(name)
            if self.incremental:
                with self._changing(builder):
                    builder.load()
                    self._read(builder, sys.stdin.buffer, "stdin")
                    builder.commit()
                continue
            source = self.typed(name)[1]
            try:
                stream = open(source, "rb")
            except OSError as error:
                raise Fatal(f"open {source}: {error.strerror}") from None
            with stream, self._changing(builder):
                status = os.fstat(stream.fileno())
                if self.inherit_mode:
                    builder.owned_by(status)
                self._read(builder, stream, source)
                with _as_owner(status, keep=self.keep_root):
                    builder.commit()
        return 0

    def _read(self, builder: Builder, stream: BinaryIO, name: str) -> None:
        for entry in self.parse(stream, name, self.command.warn):
            try:
                builder.put(entry.key, self.value_of(entry.value))
            except OSError as error:
                self.command.warn(
                    f"{name}, line {entry.line}: open {entry.value}: {error.strerror}: skipping this entry"
                )
        if self.extra is not None:
            self.extra(builder)

    def _builder(self, name: str) -> Builder:
        kind, path = self.typed(name)
        try:
            return Builder(kind, path, fold_keys=self.fold, duplicates=self.duplicates, warn=self.command.warn)
        except TableError as error:
            raise Fatal(str(error)) from None

    @contextlib.contextmanager
    def _changing(self, builder: Builder) -> Iterator[None]:
        try:
            with exclusive(builder.path):
                yield
        except CorruptTable as error:
            raise Fatal(f"{builder.path} is corrupt: {error}; build it again from its source") from None
        except OSError as error:
            raise Fatal(f"write {error.filename or builder.path}: {error.strerror or error}") from None
        except (TableError, ValueError) as error:
            raise Fatal(str(error)) from None


def _query_error(table: Table, reason: str) -> str:
    return reason if reason.startswith("table ") else f"table {table.spec}: query error: {reason}"


def stdin_keys() -> Iterator[str]:
    """The lines of standard input, without their ends."""
    for line in sys.stdin.buffer:
        yield decode(line.rstrip(b"\r\n"))


def default_type(config_option: str | None) -> str:
    """default_database_type of the configuration.  Raises Fatal where that cannot be read."""
    from pillarbox.lib.config import ConfigError, config_directory, load
    from pillarbox.lib.config.parameters.lookup import DEFAULT_DATABASE_TYPE

    try:
        return load(config_directory(config_option))[DEFAULT_DATABASE_TYPE]
    except ConfigError as error:
        raise Fatal(str(error.problems[0])) from None


@contextlib.contextmanager
def _as_owner(status: os.stat_result, *, keep: bool) -> Iterator[None]:
    """Write as the owner of the source, so that root leaves no file of its own in a user's directory."""
    if keep or os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    group = os.getegid()
    os.setgroups([])
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
