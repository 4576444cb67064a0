"""`mysql:FILE`: a table in MariaDB or MySQL, mysql_table(5); needs the optional package `PyMySQL`.

The session is freed of the SQL modes that change what a literal is (ANSI_QUOTES, NO_BACKSLASH_ESCAPES), so that what
the template says holds on every server.  Several statements in one query are not accepted by the protocol as we use it.
"""

from __future__ import annotations

import configparser
import ssl
from dataclasses import dataclass, field
from typing import Any

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.query_hosts import parse_host
from pillarbox.lib.tables.query_pool import QueryFailed, Server, ServerGone, ServerSilent
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_source import SQL_SETTINGS, Rows, SqlSource
from pillarbox.lib.tables.query_sql import MYSQL, SqlTemplate
from pillarbox.lib.tables.query_table import TEXT_LIMIT, Source, open_query_table
from pillarbox.lib.tables.query_template import Values
from pillarbox.lib.tables.query_tls import client_context, opportunistic
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table

_TLS = ("tls_cert_file", "tls_key_file", "tls_CAfile", "tls_CApath", "tls_ciphers", "tls_verify_cert")
KNOWN = (*SQL_SETTINGS, *_TLS, "charset", "option_file", "option_group", "require_result_set")
PORT = 3306
SOCKET = "/run/mysqld/mysqld.sock"
"""Where the servers of Debian and its kin listen; what `localhost` means to MySQL's own clients."""

CHARSETS = ("utf8mb4", "utf8", "utf8mb3", "latin1", "ascii")
"""In these no character contains a byte that means something to SQL."""

_GONE = frozenset(
    (1040, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1205, 1290, 1836, 1927, 2006, 2013, 2014)
)
"""Errors after which another server, or a new connection, may do better."""

_NO_TLS = 2026
"""The driver's error where the server speaks no TLS."""

_MODES = frozenset(
    ("ANSI", "ANSI_QUOTES", "DB2", "MAXDB", "MSSQL", "NO_BACKSLASH_ESCAPES", "ORACLE", "POSTGRESQL", "SYBASE")
)
"""SQL modes in which literals are written otherwise."""


@dataclass(frozen=True, slots=True)
class MysqlDriver:
    """Talks to MariaDB and MySQL.  `tls`: None = where a server that is reached by TCP has it."""

    user: str
    password: str = field(repr=False)
    database: str
    charset: str
    timeout: int
    result_set: bool
    tls: ssl.SSLContext | None

    def connect(self, server: Server) -> Any:
        import pymysql

        try:
            connection = self._connect(server)
        except (pymysql.Error, OSError, LookupError, ValueError) as error:
            raise ServerGone(f"connect to mysql server {server.name}: {_said(error)}") from None
        try:
            _plain_literals(connection)
        except (pymysql.Error, OSError, LookupError, ValueError) as error:
            connection.close()
            raise ServerGone(f"connect to mysql server {server.name}: {_said(error)}") from None
        return connection

    def _connect(self, server: Server) -> Any:
        import pymysql

        if server.path:
            return self._open(server, None)
        if self.tls is not None:
            return self._open(server, self.tls)
        try:
            return self._open(server, opportunistic())
        except pymysql.OperationalError as error:
            if error.args[0] != _NO_TLS:
                raise
        return self._open(server, None)

    def _open(self, server: Server, tls: ssl.SSLContext | None) -> Any:
        import pymysql.cursors

        return pymysql.connect(
            host=server.host or None,
            port=server.port,
            unix_socket=server.path or None,
            user=self.user or None,
            # Else PyMySQL would take it for Latin-1.
            password=self.password.encode("utf-8", "surrogateescape"),
            database=self.database or None,
            charset=self.charset,
            connect_timeout=self.timeout,
            read_timeout=self.timeout,
            write_timeout=self.timeout,
            autocommit=True,
            ssl=tls,
            ssl_disabled=tls is None,
            program_name="pillarbox",
            cursorclass=pymysql.cursors.SSCursor,
            conv={},  # values as the server writes them
        )

    def close(self, connection: Any) -> None:
        connection.close()

    def rows(self, connection: Any, query: SqlTemplate, values: Values) -> Rows:
        import pymysql

        try:
            with connection.cursor() as cursor:
                cursor.execute(query.fill(values, connection.escape))
                return self._rows(cursor)
        except UnicodeEncodeError:
            raise QueryFailed(f"the key cannot be written in {self.charset}") from None
        except (pymysql.Error, OSError, LookupError, ValueError) as error:
            number = error.args[0] if error.args else 0
            failure: type[Exception] = QueryFailed
            if not isinstance(error, pymysql.Error) or number in _GONE or not number:
                failure = ServerSilent if isinstance(error.__context__, TimeoutError) else ServerGone
            raise failure(f"mysql query failed: {_said(error)}") from None

    def _rows(self, cursor: Any) -> Rows:
        found: list[list[str | None]] = []
        size = sets = 0
        more: bool | None = True
        while more:
            if cursor.description is not None:
                sets += 1
                for row in cursor:
                    values = [_text(value) for value in row]
                    size += sum(len(value) for value in values if value is not None)
                    if size > TEXT_LIMIT:
                        raise QueryFailed(f"a result of at most {TEXT_LIMIT} bytes was expected")
                    found.append(values)
            more = cursor.nextset()
        if sets > 1:
            raise QueryFailed("mysql query failed: multiple result sets are not supported")
        if not sets and self.result_set:
            raise QueryFailed("mysql query failed: the query returned no result set (see require_result_set)")
        return found


def _plain_literals(connection: Any) -> None:
    """Leave the SQL modes in which the literals of a template would mean something else."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.sql_mode")
        modes = [mode for row in cursor for mode in (_text(row[0]) or "").split(",")]
    if _MODES.intersection(modes):
        kept = ",".join(mode for mode in modes if mode not in _MODES)
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION sql_mode = '{kept}'")


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return None if value is None else str(value)


def _said(error: Exception) -> str:
    """What the server or the system says."""
    return str(error.args[1]) if len(error.args) > 1 else str(error)


# --- the file


def _option_file(settings: Settings) -> dict[str, str]:
    """What a my.cnf has for [client] and the group that is named."""
    path = settings.text("option_file")
    group = settings.text("option_group", "client")
    if not path or not group:
        return {}
    parser = configparser.RawConfigParser(allow_no_value=True, strict=False, inline_comment_prefixes=None)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            parser.read_string("".join(line for line in stream if not line.lstrip().startswith("!")), path)
    except PermissionError:
        raise
    except (OSError, configparser.Error) as error:
        raise settings.wrong("option_file", error) from None
    found: dict[str, str] = {}
    for section in ("client", group):
        if parser.has_section(section):
            found.update({name.replace("_", "-"): (value or "").strip("\"'") for name, value in parser.items(section)})
    return found


def _servers(settings: Settings, options: dict[str, str]) -> tuple[Server, ...]:
    words = settings.words("hosts") or (options.get("host", "localhost"),)
    found = []
    for word in words:
        try:
            server = parse_host(word, int(options.get("port", PORT)), lambda path, _port: path)
        except ValueError as error:
            raise settings.wrong("hosts", error) from None
        if server.host == "localhost":
            server = Server(word, path=options.get("socket", SOCKET))
        found.append(server)
    return tuple(found)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not any(settings.text(name) for name in _TLS):
        return None
    authorities = settings.text("tls_CAfile"), settings.text("tls_CApath")
    try:
        return client_context(
            verify=any(authorities),
            names=settings.boolean("tls_verify_cert", False),
            ca_file=authorities[0],
            ca_path=authorities[1],
            certificate=settings.text("tls_cert_file"),
            key=settings.text("tls_key_file"),
            ciphers=settings.text("tls_ciphers"),
        )
    except ValueError as error:
        raise ValueError(f"{settings.path}: {error}") from None


def _read(settings: Settings, registry: Registry, options: Options) -> Source:
    said = _option_file(settings)
    driver = MysqlDriver(
        settings.text("user") or said.get("user", ""),
        settings.text("password") or said.get("password", ""),
        settings.text("dbname") or said.get("database", ""),
        settings.choice("charset", said.get("default-character-set", "utf8mb4"), CHARSETS),
        settings.number("timeout", 10, minimum=1),
        settings.boolean("require_result_set", True),
        _tls(settings),
    )
    return SqlSource(settings, registry, options, dialect=MYSQL, servers=_servers(settings, said), driver=driver)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `mysql:FILE`."""
    try:
        import pymysql.cursors  # noqa: F401
    except ImportError:
        raise TableError("table type mysql needs the Python package PyMySQL (pip install 'pillarbox[sql]')") from None
    return open_query_table(spec, options, registry, KNOWN, _read)
