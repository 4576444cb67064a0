"""What the SQL types have in common: the query of a file, old style or new, and the rows that it gives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from pillarbox.lib.tables.query_pool import Pool, Server, shared_pool
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_sql import Dialect, SqlTemplate, parse_sql
from pillarbox.lib.tables.query_table import Result, Source
from pillarbox.lib.tables.query_template import Values
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options

SQL_SETTINGS = (
    *("hosts", "user", "password", "dbname", "query"),
    *("table", "select_field", "where_field", "additional_conditions"),
)
"""Settings of every SQL type, beside those of every type."""

Rows = Sequence[Sequence[str | None]]
C = TypeVar("C")


def query_of(settings: Settings, dialect: Dialect) -> SqlTemplate:
    """The query: `query`, or else `select_function`, or else made of `table`, `select_field` and `where_field`.

    Raises ValueError.
    """
    if settings.has("query"):
        try:
            return parse_sql(settings.needed("query"), dialect)
        except ValueError as error:
            raise error if str(error).startswith(settings.path) else settings.wrong("query", error) from None
    if function := settings.text("select_function"):
        text = f"SELECT {function}('%s')"
    elif not settings.has("table"):
        raise settings.wrong("query", "a query was expected, as in: SELECT goto FROM alias WHERE address = '%s'")
    else:
        field, table = settings.needed("select_field"), settings.needed("table")
        where, more = settings.needed("where_field"), settings.text("additional_conditions")
        text = f"SELECT {field} FROM {table} WHERE {where} = '%s' {more}".rstrip()
    try:
        return parse_sql(text, dialect)
    except ValueError as error:
        raise settings.wrong("table", error) from None


class Driver(Protocol[C]):
    """How one type talks to its servers.  Equal drivers make connections that can be exchanged for each other."""

    def connect(self, server: Server) -> C:
        """A new connection.  Raises ServerGone."""
        ...

    def close(self, connection: C) -> None:
        """End a connection."""
        ...

    def rows(self, connection: C, query: SqlTemplate, values: Values) -> Rows:
        """Ask.  Raises ServerGone, QueryFailed."""
        ...


class SqlSource(Source, Generic[C]):
    """A table in an SQL server."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        options: Options,
        *,
        dialect: Dialect,
        servers: tuple[Server, ...],
        driver: Driver[C],
    ) -> None:
        """Raises ValueError."""
        self.query = query_of(settings, dialect)
        super().__init__(settings, self.query.templates(), registry, options)
        self.servers, self._driver = servers, driver
        self._pool: Pool[C] = pool_of(self, driver, options)

    def find(self, values: Values, result: Result) -> None:
        for row in self._pool.ask(lambda connection: self._driver.rows(connection, self.query, values)):
            for value in row:
                result.add(value)


def pool_of(source: Source, driver: Driver[C], options: Options) -> Pool[C]:
    """The connections to the servers of a source, shared with the others that have the same account there."""
    servers, idle, retry, timeout, clock = source.servers, source.idle, source.retry, source.timeout, options.clock

    def make() -> Pool[C]:
        return Pool(
            servers,
            driver.connect,
            driver.close,
            idle=idle,
            retry=retry,
            wait=timeout,
            clock=clock,
            choose=random.choice,
        )

    return shared_pool((servers, driver, idle, retry, timeout, clock), make)
