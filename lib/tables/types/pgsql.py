"""`pgsql:FILE`: a table in PostgreSQL, pgsql_table(5); needs the optional package `pg8000`.

The key is put into the query as an `E'...'` literal, whatever the server's settings, and the query is sent as one
message, so that connection poolers in between do no harm.
"""

from __future__ import annotations

import os
import pwd
import re
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pillarbox.lib.tables.endpoint import parse_endpoint
from pillarbox.lib.tables.errors import LookupFailed, TableError
from pillarbox.lib.tables.query_hosts import parse_host
from pillarbox.lib.tables.query_pool import QueryFailed, Server, ServerGone, ServerSilent
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_source import SQL_SETTINGS, Rows, SqlSource
from pillarbox.lib.tables.query_sql import POSTGRESQL, SqlTemplate
from pillarbox.lib.tables.query_table import TEXT_LIMIT, Source, open_query_table
from pillarbox.lib.tables.query_template import Values
from pillarbox.lib.tables.query_tls import client_context, opportunistic
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table

KNOWN = (*SQL_SETTINGS, "encoding", "select_function")
PORT = 5432
ENCODINGS = {"utf8": "UTF8", "utf-8": "UTF8", "latin1": "LATIN1"}

_URI_SETTINGS = frozenset(
    ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name")
)
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are to one server.  `tls`: False = no, None = where the server has it, or a context."""

    user: str
    password: str = field(repr=False)
    database: str
    tls: ssl.SSLContext | bool | None


class _NoTls(ServerGone):
    """The server speaks no TLS."""


@dataclass(frozen=True, slots=True)
class PostgresDriver:
    """Talks to PostgreSQL."""

    encoding: str
    timeout: int

    def connect(self, server: Server) -> Any:
        account: Account = server.options
        if account.tls is not None:
            return self._connect(server, account, account.tls)
        try:
            return self._connect(server, account, opportunistic())
        except _NoTls:
            return self._connect(server, account, False)

    def _connect(self, server: Server, account: Account, tls: ssl.SSLContext | bool) -> Any:
        import pg8000.native

        try:
            return _connection_class()(
                account.user or pwd.getpwuid(os.geteuid()).pw_name,
                host=server.host or None,
                port=server.port,
                unix_sock=server.path or None,
                database=account.database,
                password=account.password,
                timeout=self.timeout,
                ssl_context=tls,
                application_name="pillarbox",
                startup_params={"client_encoding": self.encoding, "standard_conforming_strings": "on"},
            )
        except pg8000.native.DatabaseError as error:
            raise ServerGone(f"connect to pgsql server {server.name}: {_said(error)}") from None
        except (pg8000.native.InterfaceError, OSError) as error:
            failure = _NoTls if "refuses SSL" in str(error) else ServerGone
            raise failure(f"connect to pgsql server {server.name}: {_reason(error)}") from None
        except (struct.error, LookupError, ValueError, AttributeError) as error:
            raise ServerGone(f"connect to pgsql server {server.name}: unexpected answer ({error!r})") from None

    def close(self, connection: Any) -> None:
        connection.close()

    def rows(self, connection: Any, query: SqlTemplate, values: Values) -> Rows:
        import pg8000.native

        try:
            rows: Rows = connection.execute_simple(query.fill(values, _literal)).rows or ()
        except pg8000.native.DatabaseError as error:
            fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            failure = ServerGone if fields.get("V", fields.get("S")) in ("FATAL", "PANIC") else QueryFailed
            raise failure(f"pgsql query failed: {_said(error)}") from None
        except TimeoutError:
            raise ServerSilent(f"pgsql query failed: no answer within {self.timeout} seconds") from None
        except UnicodeEncodeError:
            raise QueryFailed(f"the key cannot be written in {self.encoding}") from None
        except (pg8000.native.InterfaceError, OSError) as error:
            silent = isinstance(error.__cause__, TimeoutError)
            raise (ServerSilent if silent else ServerGone)(f"pgsql query failed: {_reason(error)}") from None
        except (struct.error, LookupError, ValueError, AttributeError) as error:
            raise ServerGone(f"pgsql query failed: unexpected answer ({error!r})") from None
        return rows


_classes: list[Any] = []


def _connection_class() -> Any:
    """pg8000's connection, with values as the server writes them and a limit to what it holds in memory."""
    if _classes:
        return _classes[0]
    import pg8000.native

    class Connection(pg8000.native.Connection):  # type: ignore[misc]
        def handle_ROW_DESCRIPTION(self, data: bytes, context: Any) -> None:
            super().handle_ROW_DESCRIPTION(data, context)
            context.input_funcs = [str] * len(context.input_funcs)

        def handle_DATA_ROW(self, data: bytes, context: Any) -> None:
            context.size = getattr(context, "size", 0) + len(data)
            if context.size > TEXT_LIMIT:
                # The rest is not worth reading: the connection ends, but neither it nor the server has failed.
                raise LookupFailed(f"pgsql query failed: a result of at most {TEXT_LIMIT} bytes was expected")
            super().handle_DATA_ROW(data, context)

    _classes.append(Connection)
    return Connection


def _literal(text: str) -> str:
    """A literal that means `text` whatever standard_conforming_strings is."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _said(error: Exception) -> str:
    """What the server says."""
    fields = error.args[0] if error.args else ""
    return str(fields.get("M", fields)) if isinstance(fields, dict) else str(fields)


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return (isinstance(cause, OSError) and cause.strerror) or str(cause)


# --- the file


def _servers(settings: Settings) -> tuple[Server, ...]:
    words = settings.words("hosts") or ("localhost",)
    found = []
    for word in words:
        try:
            if word.startswith(("postgresql://", "postgres://")):
                found.append(parse_uri(word))
                continue
            server = parse_host(word, PORT, _socket)
        except ValueError as error:
            raise settings.wrong("hosts", error) from None
        tls = False if server.path else None
        account = Account(settings.text("user"), settings.text("password"), settings.needed("dbname"), tls)
        found.append(Server(server.name, server.host, server.port, server.path, options=account))
    return tuple(found)


def _socket(place: str, port: int) -> str:
    """libpq names the directory of the socket; the socket itself is understood, too."""
    return place if os.path.basename(place).startswith(".s.PGSQL.") else f"{place.rstrip('/')}/.s.PGSQL.{port}"


def parse_uri(uri: str) -> Server:
    """postgresql://user:password@host:port/database?setting=value.  Raises ValueError."""
    parts = urlsplit(uri)
    shown = _without_secrets(uri)
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in said:
        if name not in _URI_SETTINGS:
            raise ValueError(f'"{shown}": "{name}" is not supported; known are: {", ".join(sorted(_URI_SETTINGS))}')
    address = parts.netloc.rpartition("@")[2]
    if "," in address:
        raise ValueError(f'"{shown}": one host was expected; list several URIs instead')
    try:
        port = parse_endpoint(f"host:{parts.port or said.get('port', '')}", PORT).port
    except ValueError:
        raise ValueError(f'"{shown}": a port from 1 to 65535 was expected') from None
    host = unquote(parts.hostname or said.get("host", "localhost"))
    user = unquote(parts.username or "") or said.get("user", "")
    password = unquote(parts.password or "") or said.get("password", "")
    database = unquote(parts.path.lstrip("/")) or said.get("dbname", "") or user
    if not database:
        raise ValueError(f'"{shown}": a database was expected behind the host')
    path = _socket(host, port) if host.startswith("/") else ""
    tls = False if path else _tls(said, shown)
    options = Account(user, password, database, tls)
    return Server(shown, host="" if path else host, port=port, path=path, options=options)


def _without_secrets(uri: str) -> str:
    """For messages: a password may stand before the host, with any characters in it, or among the settings."""
    return re.sub(r"(://[^:@]*):.*@", r"\1:...@", uri, flags=re.DOTALL).partition("?")[0]


def _tls(said: dict[str, str], shown: str) -> ssl.SSLContext | bool | None:
    mode = said.get("sslmode", "prefer")
    if mode not in _SSL_MODES:
        raise ValueError(f'"{shown}": sslmode: one of {", ".join(_SSL_MODES)} was expected')
    if mode == "disable":
        return False
    if mode in ("allow", "prefer"):
        return None
    root = said.get("sslrootcert", "")
    return client_context(
        verify=mode != "require" or bool(root),
        names=mode == "verify-full",
        ca_file="" if root == "system" else root,
        certificate=said.get("sslcert", ""),
        key=said.get("sslkey", ""),
    )


def _read(settings: Settings, registry: Registry, options: Options) -> Source:
    name = settings.text("encoding") or "UTF8"
    encoding = ENCODINGS.get(name.lower())
    if encoding is None:
        raise settings.wrong("encoding", f'UTF8 or LATIN1 was expected instead of "{name}"')
    driver = PostgresDriver(encoding, settings.number("timeout", 10, minimum=1))
    return SqlSource(settings, registry, options, dialect=POSTGRESQL, servers=_servers(settings), driver=driver)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `pgsql:FILE`."""
    try:
        import pg8000.native  # noqa: F401
    except ImportError:
        raise TableError("table type pgsql needs the Python package pg8000 (pip install 'pillarbox[sql]')") from None
    return open_query_table(spec, options, registry, KNOWN, _read)
