"""What the tables in servers have in common (`ldap:`, `mysql:`, `pgsql:` ..): key in, query out, values in, result out.

The file of the table is read before the process gives up its rights, so that only root need be able to read the
password in it; a process that is confined already asks to be started anew when the file changes.  A key that cannot
be there (`domain`, no domain where `%d` is wanted, not UTF-8) is answered without the server.  A server that is dead,
slow or refuses is "cannot say now", never "not there"; so is a result beyond the limits.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Iterable

from pillarbox.lib.log import log
from pillarbox.lib.tables.blocking import about_to_wait
from pillarbox.lib.tables.errors import LookupFailed, TableChanged, TableError
from pillarbox.lib.tables.names import split_items
from pillarbox.lib.tables.query_pool import QueryFailed, Server, ServerGone
from pillarbox.lib.tables.query_settings import Settings, read_settings, readable_by_all
from pillarbox.lib.tables.query_template import Substitution, Template, Values, parse_template
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Reach, Table
from pillarbox.lib.tables.watch import FileTable

COMMON = ("result_format", "domain", "expansion_limit", "idle_interval", "retry_interval", "timeout")
"""Settings of every type; `timeout` is ours for SQL: seconds for a connection, and for an answer."""

TIMEOUT, INTERVAL = 10, 60
"""Seconds: the defaults of `timeout`, of `idle_interval` and `retry_interval`."""

VALUES_LIMIT = 100_000
TEXT_LIMIT = 4 << 20
"""Values, and characters of them together, that one look-up may give."""


class Domains:
    """The setting `domain`: only addresses in these domains are asked for.

    Items are names, files of names, and tables whose keys are names; `!` before one makes it an exception.
    """

    def __init__(self, words: Iterable[str], registry: Registry, options: Options) -> None:
        """Raises ValueError, OSError, TableError."""
        self._items: list[tuple[bool, str | Table]] = []
        self._paths: list[str] = []
        for word in words:
            negated = word.startswith("!")
            word = word.lstrip("!")
            if word.startswith("/"):
                self._paths.append(word)
                with open(word, encoding="utf-8", errors="surrogateescape") as stream:
                    lines = [line for line in stream if not line.lstrip().startswith("#")]
                names = " ".join(lines).replace(",", " ").split()
                self._items += ((negated, name.lower()) for name in names)
            else:
                self._items.append((negated, registry.open(word, options) if ":" in word else word.lower()))

    def match(self, key: str) -> bool:
        """Whether `key` may be asked for.  Raises LookupFailed."""
        if not self._items:
            return True
        local, _, domain = key.lower().rpartition("@")
        if not local or not domain:
            return False
        for negated, item in self._items:
            if item == domain if isinstance(item, str) else item.get(domain) is not None:
                return not negated
        return False

    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        tables = (item for _, item in self._items if not isinstance(item, str))
        return (*self._paths, *(file for table in tables for file in table.files()))

    def reach(self) -> Reach:
        """The servers that the tables in it ask."""
        found = Reach()
        for _, item in self._items:
            found = found if isinstance(item, str) else found | item.reach()
        return found


class Source(abc.ABC):
    """One file, read: what to ask, and whom."""

    servers: tuple[Server, ...]

    def __init__(self, settings: Settings, queries: Iterable[Template], registry: Registry, options: Options) -> None:
        self.settings = settings
        try:
            # result_filter is an older name, known to LDAP only.
            self.result = parse_template(settings.text("result_format") or settings.text("result_filter") or "%s")
        except ValueError as error:
            raise settings.wrong("result_format", error) from None
        self.substitution = Substitution(queries, self.result)
        self.expansion_limit = settings.number("expansion_limit", 0)
        self.idle = settings.number("idle_interval", INTERVAL, minimum=1)
        self.retry = settings.number("retry_interval", INTERVAL)
        self.timeout = settings.number("timeout", TIMEOUT, minimum=1)
        try:
            self.domains = Domains(split_items(settings.text("domain")), registry, options)
        except PermissionError:
            raise
        except (TableError, OSError, ValueError) as error:
            raise settings.wrong("domain", error) from None

    @abc.abstractmethod
    def find(self, values: Values, result: Result) -> None:
        """Ask a server, and put what it has into `result`.  Raises ServerGone, QueryFailed, LookupFailed."""

    def files(self) -> tuple[str, ...]:
        """The files that it reads, but for the one that says what it is."""
        return self.domains.files()

    def reach(self) -> Reach:
        """Which servers it asks."""
        ports = frozenset(server.port for server in self.servers if not server.path)
        return Reach(ports, any(server.is_name for server in self.servers)) | self.domains.reach()


class Result:
    """Collects the values of one look-up."""

    def __init__(self, spec: str, source: Source, values: Values) -> None:
        self._spec, self._source, self._values = spec, source, values
        self._found: list[str] = []
        self._size = 0

    def add(self, value: str | None) -> None:
        """One value that a server has given; NULL and empty ones count for nothing.  Raises LookupFailed where there
        are too many."""
        if value is None:
            return
        key = self._values["S"]
        if not value:
            log.warning(f"table {self._spec}: empty lookup result for: {key} -- ignored")
            return
        values = self._source.substitution.of_value(self._values, value)
        if values is None:
            return
        text = self._source.result.fill(values)
        self._found.append(text)
        self._size += len(text)
        limit = self._source.expansion_limit or VALUES_LIMIT
        if len(self._found) > limit or self._size > TEXT_LIMIT:
            raise LookupFailed(f"table {self._spec}: Expansion limit exceeded for key: '{key}'")

    def text(self) -> str | None:
        """The values, separated by commas; None where there are none."""
        return ",".join(self._found) or None


Reader = Callable[[Settings, Registry, Options], Source]


class QueryTable(FileTable[Source]):
    """A table in a server.  May be used by several threads at once."""

    def __init__(
        self, spec: str, path: str, options: Options, registry: Registry, known: Iterable[str], read: Reader
    ) -> None:
        super().__init__(spec, path, options)
        self._registry, self._known, self._read = registry, (*COMMON, *known), read
        self._reach: Reach | None = None
        self._lock = threading.Lock()

    def _current(self) -> Source:
        with self._lock:  # else a thread would not wait for the one that reads the file for the first time
            return super()._current()

    def _load(self, descriptor: int) -> Source:
        try:
            settings = read_settings(descriptor, self.path, self._known)
            source = self._read(settings, self._registry, self.options)
        except PermissionError:
            self._start_anew()
            raise
        if readable_by_all(descriptor) and any(settings.text(name) for name in ("password", "bind_pw")):
            log.warning(f"{self.path} has a password in it, but everybody may read it: chmod o-r {self.path}")
        reach = source.reach()
        if self._reach is not None and not reach <= self._reach:
            self._start_anew()
        if self._reach is None:
            self._reach = reach
        return source

    def _start_anew(self) -> None:
        """What the changed file asks for, only a process started anew may do.  Raises TableChanged where it can be."""
        if self._reach is not None and self.options.denied is not None:
            self._outdated = True
            self.options.denied(self.path)
            raise TableChanged(f"table {self.spec}: {self.path} has changed")

    def get(self, key: str) -> str | None:
        source = self._current()
        key = self._folded(key)
        if "\0" in key or not _is_utf8(key) or not source.domains.match(key):
            return None
        values = source.substitution.of_key(key)
        if values is None:
            return None
        about_to_wait()
        result = Result(self.spec, source, values)
        try:
            source.find(values, result)
        except (ServerGone, QueryFailed) as error:
            raise LookupFailed(f"table {self.spec}: {error}") from None
        return result.text()

    def reach(self) -> Reach:
        return self._content.reach() if self._content is not None else Reach()

    def files(self) -> tuple[str, ...]:
        return (self.path, *(self._content.files() if self._content is not None else ()))


def open_query_table(spec: str, options: Options, registry: Registry, known: Iterable[str], read: Reader) -> QueryTable:
    """Open `type:FILE`.  Raises TableError."""
    kind, _, path = spec.partition(":")
    if not path.startswith(("/", ".")):
        raise TableError(f'table {spec}: the path of a file with the settings was expected, as in "{kind}:/etc/x.cf"')
    return QueryTable(spec, path, options, registry, known, read)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
