"""`redis:FILE`: a table in Redis, Valkey or KeyDB.  Postfix has no such type; the file is like those of its others:

    host = inet:localhost:6379      # or unix:/run/redis.sock
    user, password, db = 0
    command = GET alias:%s          # or HGET aliases %s, SMEMBERS list:%s ..: any command that gives texts
    result_format = %s
    domain, expansion_limit, timeout = 5, idle_interval = 60

Each word of the command is one argument, whatever the key contains.  Several texts are joined by commas.
"""

from __future__ import annotations

from pillarbox.lib.tables import redis
from pillarbox.lib.tables.endpoint import parse_endpoint
from pillarbox.lib.tables.exchange import Exchange, Patience, Protocol, ProtocolFault
from pillarbox.lib.tables.lines import decode, encode
from pillarbox.lib.tables.query_pool import QueryFailed
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_table import Result, Source, open_query_table
from pillarbox.lib.tables.query_template import Values, parse_template
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Reach, Table

KNOWN = ("host", "user", "password", "db", "command")
PORT = 6379
TIMEOUT = 5
WRITING = frozenset(("append", "config", "del", "eval", "flushall", "flushdb", "hset", "set", "shutdown"))
"""Commands that a table has no business with; a mistake, not a defence: the account's rights are the server's."""


class RedisSource(Source):
    """What one file says."""

    servers = ()

    def __init__(self, settings: Settings, registry: Registry, options: Options) -> None:
        """Raises ValueError."""
        words = settings.text("command", "GET %s").split()
        try:
            self._command = tuple(parse_template(word) for word in words)
        except ValueError as error:
            raise settings.wrong("command", error) from None
        if not words or words[0].lower() in WRITING or not any(word.letters() for word in self._command):
            raise settings.wrong("command", 'a command that asks for the key was expected, as in "GET %s"')
        super().__init__(settings, self._command, registry, options)
        try:
            endpoint = parse_endpoint(settings.text("host", "inet:localhost"), PORT)
        except ValueError as error:
            raise settings.wrong("host", error) from None
        if options.authentic and not endpoint.on_this_host:
            raise settings.wrong("host", "for security-sensitive data a server on this host was expected")
        patience = Patience(settings.number("timeout", TIMEOUT, minimum=1), self.idle)
        self._exchange = Exchange(endpoint, patience, _greeting(settings), options.clock)

    def find(self, values: Values, result: Result) -> None:
        request = redis.request(encode(word.fill(values)) for word in self._command)
        try:
            texts = self._exchange.ask(request, redis.answer)
        except ProtocolFault as error:
            raise QueryFailed(f"{self._exchange.endpoint}: {error}") from None
        for text in texts or ():
            result.add(decode(text))

    def reach(self) -> Reach:
        return self._exchange.endpoint.reach() | self.domains.reach()


def _greeting(settings: Settings) -> list[tuple[bytes, Protocol[object]]]:
    requests = []
    if password := settings.text("password"):
        user = settings.text("user")
        requests.append(("AUTH", *((user,) if user else ()), password))
    if number := settings.number("db", 0):
        requests.append(("SELECT", str(number)))
    return [(redis.request(map(encode, words)), redis.answer) for words in requests]


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `redis:FILE`."""
    return open_query_table(spec, options, registry, KNOWN, RedisSource)
