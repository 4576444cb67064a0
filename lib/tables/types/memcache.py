"""`memcache:FILE`: values that memcached remembers, of a table behind it or of others, memcache_table(5).

Asked first is the cache; what it has not is asked of `backup`, and what that has is put into the cache for `ttl`
seconds.  A cache that is away costs time only where there is a backup; without one the look-up fails.
"""

from __future__ import annotations

from pillarbox.lib.log import log
from pillarbox.lib.tables import memcache
from pillarbox.lib.tables.endpoint import parse_endpoint
from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.exchange import FAILURES, Exchange, Patience
from pillarbox.lib.tables.lines import decode, encode
from pillarbox.lib.tables.query_pool import QueryFailed
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_table import Result, Source, open_query_table
from pillarbox.lib.tables.query_template import Values, parse_template
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Reach, Table

KNOWN = (
    *("memcache", "backup", "flags", "ttl", "key_format"),
    *("line_size_limit", "data_size_limit", "max_try", "retry_pause"),
)
"""`max_try` and `retry_pause` are known, and without effect: a server that is away is tried again a second later by
the next look-up, and none waits meanwhile."""

PORT = 11211
TIMEOUT = 2
TTL = 3600
LINE_LIMIT = 1024
DATA_LIMIT = 10240


class MemcacheSource(Source):
    """What one file says."""

    servers = ()

    def __init__(self, settings: Settings, registry: Registry, options: Options) -> None:
        """Raises ValueError."""
        try:
            self._key_format = parse_template(settings.text("key_format") or "%s")
        except ValueError as error:
            raise settings.wrong("key_format", error) from None
        super().__init__(settings, (self._key_format,), registry, options)
        try:
            endpoint = parse_endpoint(settings.text("memcache") or "inet:localhost", PORT)
        except ValueError as error:
            raise settings.wrong("memcache", error) from None
        if options.authentic and not endpoint.on_this_host:
            raise settings.wrong("memcache", "for security-sensitive data a server on this host was expected")
        self._exchange = Exchange(
            endpoint, Patience(settings.number("timeout", TIMEOUT, minimum=1), self.idle), clock=options.clock
        )
        self._ttl, self._flags = settings.number("ttl", TTL), settings.number("flags", 0)
        self._line_limit = settings.number("line_size_limit", LINE_LIMIT, minimum=1)
        self._data_limit = settings.number("data_size_limit", DATA_LIMIT, minimum=1)
        self._backup: Table | None = None
        self._away = False
        if settings.text("backup"):
            try:
                self._backup = registry.open(settings.text("backup"), options)
            except TableError as error:
                raise settings.wrong("backup", error) from None
            self._backup.preload()

    def find(self, values: Values, result: Result) -> None:
        name = encode(self._key_format.fill(values))
        if not memcache.is_key(name):
            self._ask_backup(values, result)  # the cache cannot have it, but the backup may
            return
        protocol = memcache.got(name, line_limit=self._line_limit, data_limit=self._data_limit)
        try:
            found = self._exchange.ask(memcache.get(name), protocol)
        except FAILURES as error:
            if self._backup is None:
                raise QueryFailed(str(error)) from None
            self._complain(error)
            found = None
        else:
            self._away = False
        if found is not None:
            result.add(decode(found))
        elif (value := self._ask_backup(values, result)) is not None:
            self._remember(name, encode(value))

    def _ask_backup(self, values: Values, result: Result) -> str | None:
        value = self._backup.get(values["S"]) if self._backup is not None else None
        if value is not None:
            result.add(value)
        return value

    def _remember(self, name: bytes, value: bytes) -> None:
        if self._away or len(value) > self._data_limit:
            return
        try:
            request = memcache.put(name, value, self._flags, self._ttl)
            self._exchange.ask(request, memcache.stored(self._line_limit))
        except FAILURES as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Once until the cache is there again."""
        if not self._away:
            log.warning(f"{self.settings.path}: {error}; the backup is asked")
        self._away = True

    def reach(self) -> Reach:
        backup = Reach() if self._backup is None else self._backup.reach()
        return self._exchange.endpoint.reach() | self.domains.reach() | backup

    def files(self) -> tuple[str, ...]:
        return (*super().files(), *(() if self._backup is None else self._backup.files()))


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `memcache:FILE`."""
    return open_query_table(spec, options, registry, KNOWN, MemcacheSource)
