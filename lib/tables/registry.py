"""The types of table by name, and the opening of `type:name`.

A type is a module of `types` with a function `open_table(name, options, registry)`; it is imported when first used.
Programs add types of their own with `register` (lookup adds `accounts:`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.table import Options, Table

MODULES: dict[str, str] = {
    "btree": "constant",
    "cdb": "constant",
    "cidr": "cidr",
    "environ": "environ",
    "fail": "fail",
    "hash": "constant",
    "inline": "inline",
    "ldap": "ldap",
    "lmdb": "lmdb_file",
    "mysql": "mysql",
    "memcache": "memcache",
    "pcre": "pcre",
    "pgsql": "pgsql",
    "pipemap": "pipemap",
    "proxy": "proxy",
    "randmap": "randmap",
    "redis": "redis",
    "regexp": "regexp",
    "socketmap": "socketmap",
    "sqlite": "sqlite",
    "static": "static",
    "tcp": "tcp",
    "texthash": "texthash",
    "unionmap": "unionmap",
    "unix": "unix",
}
"""Type name -> module of `pillarbox.lib.tables.types`."""

NESTING_LIMIT = 20
"""How deep tables may be made of tables (unionmap, pipemap); stops a hostile or mistaken name."""

Opener = Callable[[str, Options, "Registry"], Table]


class Registry:
    """A set of table types."""

    def __init__(self, modules: dict[str, str] | None = None) -> None:
        self._modules = MODULES if modules is None else modules
        self._openers: dict[str, Opener] = {}
        self._depth = 0

    def register(self, kind: str, opener: Opener) -> None:
        """Add a type, or replace one."""
        self._openers[kind] = opener

    def copy(self) -> Registry:
        """A registry with the same types, to which more can be added."""
        other = Registry(self._modules)
        other._openers.update(self._openers)
        return other

    def types(self) -> tuple[str, ...]:
        """The names of all types, sorted."""
        return tuple(sorted({*self._modules, *self._openers}))

    def open(self, spec: str, options: Options | None = None) -> Table:
        """Open `type:name`.  Raises TableError for a type that does not exist or a name that makes no sense.

        A file that is missing or broken is no error here: the look-ups raise LookupFailed until it is mended.
        """
        kind, colon, name = spec.partition(":")
        if not colon:
            raise TableError(f'table "{spec}": "type:name" was expected')
        opener = self._openers.get(kind)
        if opener is None:
            module = self._modules.get(kind)
            if module is None:
                raise TableError(f"unsupported dictionary type: {kind}")
            opener = importlib.import_module(f"pillarbox.lib.tables.types.{module}").open_table
            self._openers[kind] = opener
        if self._depth >= NESTING_LIMIT:
            raise TableError(f"table {kind}: tables are nested more than {NESTING_LIMIT} deep")
        self._depth += 1
        try:
            table = opener(f"{kind}:{name}", options or Options(), self)
        finally:
            self._depth -= 1
        return table

    def open_all(self, specs: Iterable[str], options: Options | None = None) -> list[Table]:
        """Open several tables, in order."""
        return [self.open(spec, options) for spec in specs]


STANDARD = Registry()
"""The types that need nothing but this package."""
