"""The tables that one parameter lists, asked in order: the first that has the key answers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable

from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.lib.tables.registry import STANDARD, Registry
from pillarbox.lib.tables.table import Options, Reach, Table


class Maps:
    """The open tables of the parameter `title`.  An error in one table ends the search: a later one may not decide."""

    __slots__ = ("tables", "title")

    def __init__(self, title: str, tables: Iterable[Table]) -> None:
        self.title = title
        self.tables = tuple(tables)

    @classmethod
    def open(
        cls, title: str, specs: Iterable[str], options: Options | None = None, registry: Registry = STANDARD
    ) -> Maps:
        """Open every table of a list.  Raises TableError."""
        return cls(title, registry.open_all(specs, options))

    def __bool__(self) -> bool:
        return bool(self.tables)

    def find(self, key: str, *, partial: bool = False) -> str | None:
        """The value of `key` in the first table that has it, else None.

        `partial`: the key is only a part of what is looked for (a domain, a user name), so tables of patterns are
        passed over: they see the whole.  An empty value is a mistake in the table, no answer.  Raises LookupFailed.
        """
        found = self.locate(key, partial=partial)
        return found[1] if found is not None else None

    def locate(self, key: str, *, partial: bool = False) -> tuple[int, str] | None:
        """As `find`, with the number of the table before the value."""
        for number, table in enumerate(self.tables):
            if partial and table.patterns:
                continue
            value = table.get(key)
            if value is not None:
                if not value:
                    raise LookupFailed(f"{self.title}: {table.spec}: the value of {key} is empty")
                return number, value
        return None

    def literals(self) -> frozenset[str] | None:
        """Texts of which every key that one of the tables has contains one; see `Table.literals`."""
        texts: set[str] = set()
        for table in self.tables:
            found = table.literals()
            if found is None:
                return None
            texts |= found
        return frozenset(texts)

    def files(self) -> tuple[str, ...]:
        """The files that look-ups read."""
        return tuple(file for table in self.tables for file in table.files())

    def reach(self) -> Reach:
        """The servers that look-ups ask."""
        return functools.reduce(operator.or_, (table.reach() for table in self.tables), Reach())

    def preload(self) -> None:
        """Load every table now."""
        for table in self.tables:
            table.preload()

    def examine(self) -> None:
        """Load every table now.  Raises LookupFailed where look-ups would fail as things are."""
        for table in self.tables:
            table.examine()

    def close(self) -> None:
        """Close every table."""
        for table in self.tables:
            table.close()
