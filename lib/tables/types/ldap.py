"""`ldap:FILE`: a table in an LDAP directory, ldap_table(5); needs the optional package `ldap3`.

LDAP version 3 is spoken, whatever `version` says.  Search base and filter are expanded with the quoting of their
grammars, so that a key cannot widen a search.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pillarbox.lib.tables.errors import TableError
from pillarbox.lib.tables.query_directory import (
    SCOPES,
    Entry,
    Roles,
    Scope,
    Search,
    collect,
    quote_filter,
    quote_name,
)
from pillarbox.lib.tables.query_hosts import parse_host
from pillarbox.lib.tables.query_pool import Pool, QueryFailed, Server, ServerGone, ServerSilent, shared_pool
from pillarbox.lib.tables.query_settings import Settings
from pillarbox.lib.tables.query_table import VALUES_LIMIT, Result, Source, open_query_table
from pillarbox.lib.tables.query_template import Template, Values, parse_template
from pillarbox.lib.tables.query_tls import client_context
from pillarbox.lib.tables.registry import Registry
from pillarbox.lib.tables.table import Options, Table

_IGNORED = ("version", "debuglevel", "cache", "cache_expiry", "cache_size", "tls_random_file")
KNOWN = (
    *("server_host", "server_port", "search_base", "query_filter", "result_filter", "scope", "size_limit"),
    *("result_attribute", "special_result_attribute", "terminal_result_attribute", "leaf_result_attribute"),
    *("bind", "bind_dn", "bind_pw", "sasl_mechs", "recursion_limit", "dereference", "chase_referrals"),
    *("start_tls", "tls_ca_cert_dir", "tls_ca_cert_file", "tls_cert", "tls_key", "tls_require_cert"),
    *("tls_cipher_suite", *_IGNORED),
)
PORT, TLS_PORT = 389, 636

_NO_SUCH_OBJECT, _SIZE_LIMIT_EXCEEDED = 32, 4
_GONE = frozenset((51, 52, 80, 81))
"""Result codes (RFC 4511 appendix A) by which a server says that it cannot serve now."""


@dataclass(frozen=True, slots=True)
class LdapDriver:
    """How to connect: who we are, and with what TLS."""

    bind: str
    user: str
    password: str = field(repr=False)
    timeout: int
    start_tls: bool
    tls: ssl.SSLContext | None

    def connect(self, server: Server) -> Any:
        import ldap3
        from ldap3.core.exceptions import LDAPException

        try:
            found = ldap3.Server(
                server.options or server.host,
                port=server.port or None,
                use_ssl=server.tls,
                tls=_tls_object(self.tls, server.host) if self.tls is not None else None,
                get_info=ldap3.NONE,
                connect_timeout=self.timeout,
            )
            method = {"simple": ldap3.SIMPLE, "external": ldap3.SASL}.get(self.bind, ldap3.ANONYMOUS)
            connection = ldap3.Connection(
                found,
                user=self.user or None,
                password=self.password or None,
                authentication=method if self.user or self.bind == "external" else ldap3.ANONYMOUS,
                sasl_mechanism=ldap3.EXTERNAL if self.bind == "external" else None,
                sasl_credentials=() if self.bind == "external" else None,
                version=3,
                check_names=False,
                read_only=True,
                auto_referrals=False,
                return_empty_attributes=False,
                raise_exceptions=False,
            )
            connection.strategy._open_socket = _socket_opener(connection, self.timeout)
            try:
                connection.open(read_server_info=False)
                if self.start_tls:
                    connection.start_tls(read_server_info=False)
                if self.bind != "no" and not connection.bind(read_server_info=False):
                    raise ServerGone(f"bind to ldap server {server.name} as {self.user}: {_said(connection.result)}")
            except BaseException:
                _close_socket(connection)
                raise
        except (LDAPException, OSError, ValueError) as error:
            raise ServerGone(f"connect to ldap server {server.name}: {error}") from None
        return connection

    def close(self, connection: Any) -> None:
        try:
            connection.unbind()
        finally:
            _close_socket(connection)


def _close_socket(connection: Any) -> None:
    """ldap3 leaves it open where it cannot say good-bye."""
    if connection.socket is not None:
        connection.socket.close()


def _said(result: dict[str, Any]) -> str:
    return " ".join(filter(None, (str(result.get("description", "")), str(result.get("message") or ""))))


def _socket_opener(connection: Any, timeout: int) -> Callable[..., None]:
    """What opens the socket of a connection: ldap3 would bind it to an address first, which a confined process may not,
    and would give it no time limit for what it sends."""

    def open_socket(address: Any, use_ssl: bool = False, unix_socket: bool = False) -> None:
        connection.socket = socket.socket(*address[:3])
        try:
            connection.socket.settimeout(timeout)
            connection.socket.connect(address[4])
            if use_ssl:
                connection.server.tls.wrap_socket(connection, do_handshake=True)
        except BaseException:
            connection.socket.close()
            raise
        connection.closed = False

    return open_socket


def _tls_object(context: ssl.SSLContext, host: str) -> Any:
    """ldap3's Tls with a context that exists already: its own is made anew, from files, for each connection."""
    import ldap3

    class Prepared(ldap3.Tls):  # type: ignore[misc]
        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
            connection.socket = context.wrap_socket(
                connection.socket, server_hostname=host or None, do_handshake_on_connect=do_handshake
            )

    return Prepared()


class LdapSource(Source):
    """One file: a search, and what counts of its result."""

    def __init__(self, settings: Settings, registry: Registry, options: Options) -> None:
        self._filter = _template(settings, "query_filter", "(mailacceptinggeneralid=%s)")
        if not self._filter.pieces or not str(self._filter.pieces[0]).startswith("("):
            self._filter = Template(("(", *self._filter.pieces, ")"))
        self._base = _template(settings, "search_base", "")
        self._base_of_key = bool(self._base.letters())
        super().__init__(settings, (self._filter, self._base), registry, options)
        self._scope: Scope = next(each for each in SCOPES if each == settings.choice("scope", "sub", SCOPES))
        self._roles = Roles(
            settings.words("terminal_result_attribute"),
            settings.words("leaf_result_attribute"),
            settings.words("result_attribute", "maildrop"),
            settings.words("special_result_attribute"),
        )
        self._size_limit = settings.number("size_limit", self.expansion_limit)
        self._recursion_limit = settings.number("recursion_limit", 1000, minimum=1)
        self._dereference = settings.number("dereference", 0)
        if self._dereference > 3:
            raise settings.wrong("dereference", "0, 1, 2 or 3 was expected")
        self.servers = _servers(settings)
        driver = _driver(settings, self.timeout, any(server.tls for server in self.servers))
        self._check_filter()
        servers, idle, retry, timeout, clock = self.servers, self.idle, self.retry, self.timeout, options.clock
        self._pool: Pool[Any] = shared_pool(
            ("ldap", servers, driver, idle, retry, clock),
            lambda: Pool(servers, driver.connect, driver.close, idle=idle, retry=retry, wait=timeout, clock=clock),
        )

    def _check_filter(self) -> None:
        from ldap3.core.exceptions import LDAPException
        from ldap3.operation.search import parse_filter

        text = self._filter.fill(dict.fromkeys(self._filter.letters(), "x"))
        try:
            parse_filter(text, None, True, True, None, False)
        except LDAPException as error:
            raise self.settings.wrong("query_filter", f"a filter of RFC 4515 was expected: {error}") from None

    def find(self, values: Values, result: Result) -> None:
        base = self._base.fill(values, quote_name)
        search = Search(base, self._scope, self._filter.fill(values, quote_filter), self._roles.all)
        found: list[str] = []

        def work(connection: Any) -> None:
            found.clear()
            entries = self._search(connection, search)
            if entries is None:
                if not self._base_of_key:
                    raise QueryFailed(f"Search base '{base}' not found")
                return
            collect(entries, self._roles, lambda further: self._search(connection, further), add, self._recursion_limit)

        def add(value: str) -> None:
            found.append(value)
            if len(found) > VALUES_LIMIT:
                raise QueryFailed(f"at most {VALUES_LIMIT} values were expected")

        self._pool.ask(work)
        for value in found:
            result.add(value)

    def _search(self, connection: Any, search: Search) -> Sequence[Entry] | None:
        """The entries; None where the base does not exist.  Raises ServerGone, QueryFailed."""
        from ldap3.core.exceptions import LDAPCommunicationError, LDAPException, LDAPResponseTimeoutError

        try:
            connection.search(
                search.base,
                search.filter,
                {"base": "BASE", "one": "LEVEL", "sub": "SUBTREE"}[search.scope],
                dereference_aliases=("NEVER", "SEARCH", "BASE", "ALWAYS")[self._dereference],
                attributes=list(search.attributes),
                size_limit=self._size_limit or VALUES_LIMIT,
                time_limit=self.timeout,
            )
        except LDAPResponseTimeoutError as error:
            raise ServerSilent(f"ldap search failed: {error}") from None
        except (LDAPCommunicationError, OSError) as error:
            failure = ServerSilent if "timed out" in str(error) else ServerGone
            raise failure(f"ldap search failed: {error}") from None
        except LDAPException as error:
            raise QueryFailed(f"ldap search failed: {error}") from None
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ServerGone(f"ldap search failed: unexpected answer ({error!r})") from None
        code = connection.result["result"]
        if code == _NO_SUCH_OBJECT:
            return None
        if code in _GONE:
            raise ServerGone(f"ldap search failed: {_said(connection.result)}")
        entries = [each["raw_attributes"] for each in connection.response if each["type"] == "searchResEntry"]
        if code == _SIZE_LIMIT_EXCEEDED or (self._size_limit and len(entries) > self._size_limit):
            raise QueryFailed(f"Query size limit ({self._size_limit or VALUES_LIMIT}) exceeded")
        if code:
            raise QueryFailed(f"ldap search failed: {_said(connection.result)}")
        return entries


def _template(settings: Settings, name: str, default: str) -> Template:
    try:
        return parse_template(settings.text(name) or default)
    except ValueError as error:
        raise settings.wrong(name, error) from None


def _servers(settings: Settings) -> tuple[Server, ...]:
    default = settings.number("server_port", PORT, minimum=1)
    found = []
    for word in settings.words("server_host") or ("localhost",):
        scheme, separator, rest = word.partition("://")
        place = rest.rstrip("/") if separator else word
        try:
            if separator and scheme.lower() not in ("ldap", "ldaps", "ldapi"):
                raise ValueError(f'"{word}": ldap://, ldaps:// or ldapi:// was expected')
            if scheme.lower() == "ldapi":
                found.append(Server(word, path=unquote(place) or "/run/slapd/ldapi", options=f"ldapi://{place}"))
                continue
            secure = scheme.lower() == "ldaps"
            port = TLS_PORT if secure else PORT if separator else default
            server = parse_host(place or "localhost", port, lambda path, _port: path)
            if server.path:
                raise ValueError(f'"{word}": ldapi://%2Fpath was expected for a socket')
        except ValueError as error:
            raise settings.wrong("server_host", error) from None
        found.append(Server(word, host=server.host, port=server.port, tls=secure))
    return tuple(found)


def _driver(settings: Settings, timeout: int, secure: bool) -> LdapDriver:
    bind = settings.choice("bind", "yes", ("yes", "simple", "sasl", "no", "none"))
    if bind == "sasl" and settings.text("sasl_mechs", "EXTERNAL").upper() != "EXTERNAL":
        raise settings.wrong("sasl_mechs", "EXTERNAL was expected, the only mechanism that is supported")
    kind = {"yes": "simple", "sasl": "external", "none": "no"}.get(bind, bind)
    start_tls = settings.boolean("start_tls", False)
    context = None
    if secure or start_tls:
        require = settings.boolean("tls_require_cert", False)
        try:
            context = client_context(
                verify=require,
                names=require,
                ca_file=settings.text("tls_ca_cert_file"),
                ca_path=settings.text("tls_ca_cert_dir"),
                certificate=settings.text("tls_cert"),
                key=settings.text("tls_key"),
                ciphers=settings.text("tls_cipher_suite"),
            )
        except ValueError as error:
            raise ValueError(f"{settings.path}: {error}") from None
    user = settings.text("bind_dn") if kind == "simple" else ""
    if settings.number("chase_referrals", 0):
        raise settings.wrong("chase_referrals", "0 was expected: no servers are asked but those that are named here")
    return LdapDriver(kind, user, settings.text("bind_pw"), timeout, start_tls, context)


def open_table(spec: str, options: Options, registry: Registry) -> Table:
    """Open `ldap:FILE`."""
    try:
        import ldap3  # noqa: F401
    except ImportError:
        raise TableError("table type ldap needs the Python package ldap3 (pip install 'pillarbox[ldap]')") from None
    return open_query_table(spec, options, registry, KNOWN, LdapSource)
