"""Files of tables in servers: whatever one says is read, or refused by name; no key leaves its literal."""

from __future__ import annotations

import contextlib

from pillarbox.lib.tables.query_directory import Search, parse_url
from pillarbox.lib.tables.query_hosts import parse_host
from pillarbox.lib.tables.query_pool import QueryFailed
from pillarbox.lib.tables.query_settings import parse_settings
from pillarbox.lib.tables.query_sql import MYSQL, POSTGRESQL, SQLITE, parse_sql
from pillarbox.lib.tables.query_template import Substitution, parse_template

_KNOWN = ("hosts", "query", "result_format", "password", "url")
_KEYS = ("a@b.example.org", "'\"\\$$*/\n`@c.d.e.f.g.h.i.j.k")


def fuzz(data: bytes) -> None:
    """ValueError for mistakes; what is read makes the same query for every key, but for the literals."""
    try:
        settings = parse_settings(data, "FILE", _KNOWN)
    except ValueError as error:
        assert str(error).startswith("FILE")
        return
    for word in settings.words("hosts"):
        with contextlib.suppress(ValueError):
            server = parse_host(word, 1, lambda path, port: path)
            assert bool(server.path) != bool(server.host and 0 < server.port < 65536)
    with contextlib.suppress(QueryFailed):
        found = parse_url(settings.text("url"), ("mail",))
        assert found is None or (isinstance(found, Search) and found.attributes)
    for dialect in (POSTGRESQL, MYSQL, SQLITE):
        with contextlib.suppress(ValueError):
            query = parse_sql(settings.text("query"), dialect)
            substitution = Substitution(query.templates(), parse_template(settings.text("result_format")))
            values = [substitution.of_key(key) for key in _KEYS]
            queries = {query.fill(each, lambda text: "\0") for each in values if each is not None}
            assert len(queries) <= 1
