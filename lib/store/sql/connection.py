"""One connection to PostgreSQL, by pg8000: statements prepared once, errors in the store's terms.

A connection is of no use after `ConnectionLost`: whatever was under way on it, has not happened, or nobody knows.
"""

from __future__ import annotations

import os
import pwd
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from pillarbox.lib.store.interface import OverQuota, StoreError, StoreUnavailable
from pillarbox.lib.store.patience import busy
from pillarbox.lib.store.sql.database import Conflict, Row, Value
from pillarbox.lib.store.sql.place import Place
from pillarbox.lib.tables.query_tls import opportunistic

SCHEMA: Final = "pillarbox"
"""The schema with the tables."""
_CONNECT_TIMEOUT: Final = 5
"""Seconds to wait for each answer while connecting; an event loop stands still meanwhile."""
_TIMEOUT: Final = 30
"""Seconds to wait for an answer."""
LOCK_WAIT: Final = 0.25
"""Seconds to wait for a lock on a connection; who waits longer lets others have the connection meanwhile."""
_SETTINGS: Final = {
    "client_encoding": "UTF8",
    "search_path": SCHEMA,
    "bytea_output": "hex",
    "extra_float_digits": "0",
    "lock_timeout": f"{LOCK_WAIT:g}s",
    # The account is locked: a front end that was stopped in the middle must not hold it for ever.
    "idle_in_transaction_session_timeout": "60s",
}

Driver = Any
"""A `pg8000.native.Connection`."""


class ConnectionLost(StoreUnavailable):
    """The connection is gone, or cannot be made."""


class Connection:
    """For one thread at a time."""

    def __init__(self, place: Place) -> None:
        """Raises StoreUnavailable."""
        try:
            import pg8000.native
        except ImportError:
            raise StoreUnavailable(
                "mail location pgsql: needs the Python package pg8000 (pip install 'pillarbox[sql]'),"
                " and a mail_location that names the server"
            ) from None
        self._prepared: dict[str, tuple[bytes, Any, Any]] = {}
        server = place.server()
        self.where = f"database server {server.name}"
        account = server.options
        password = account.password
        if place.passfile:
            password = _first_line(place.passfile)
        contexts = (account.tls,) if account.tls is not None else (opportunistic(), False)
        for number, tls in enumerate(contexts, 1):
            try:
                with self._failures():
                    self._driver: Driver = pg8000.native.Connection(
                        account.user or pwd.getpwuid(os.geteuid()).pw_name,
                        host=server.host or None,
                        port=server.port,
                        unix_sock=server.path or None,
                        database=account.database,
                        password=password,
                        timeout=_CONNECT_TIMEOUT,
                        ssl_context=tls,
                        application_name="pillarbox",
                        startup_params=_SETTINGS,
                    )
                    self._driver._usock.settimeout(_TIMEOUT)
                return
            except ConnectionLost as error:
                if number == len(contexts) or "refuses SSL" not in str(error):
                    raise

    def query(self, statement: str, values: tuple[Value, ...]) -> tuple[list[Row], int]:
        """Carry out a statement; its rows, and how many it concerned.  Raises StoreError."""
        with self._failures():
            prepared = self._prepared.get(statement)
            if prepared is None:
                prepared = self._prepared[statement] = self._driver.prepare_statement(dollars(statement), ())
            name, columns, functions = prepared
            context = self._driver.execute_named(name, [_text(each) for each in values], columns, functions, statement)
            return context.rows or [], context.row_count

    def simple(self, statements: str) -> list[Row]:
        """Carry out statements without values, in one message.  Raises StoreError."""
        with self._failures():
            rows: list[Row] = self._driver.execute_simple(statements).rows or []
            return rows

    @contextmanager
    def _failures(self) -> Iterator[None]:
        from pg8000.exceptions import DatabaseError, InterfaceError

        try:
            yield
        except DatabaseError as error:
            raise _said(error, self.where) from error
        except (InterfaceError, OSError, struct.error, LookupError, AttributeError, ValueError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            reason = (isinstance(cause, OSError) and cause.strerror) or str(cause)
            raise ConnectionLost(f"{self.where}: {reason}") from None

    # --- waiting for notifications
    def unbuffered(self) -> None:
        """From now on nothing that was received is kept back, so that a selector sees all that there is."""
        self._driver._sock = self._driver._usock.makefile("rwb", buffering=0)

    def fileno(self) -> int:
        """The socket, for a selector."""
        return int(self._driver._usock.fileno())

    def notifications(self) -> list[tuple[str, str]]:
        """(channel, text) of what was received with the answers so far."""
        received = self._driver.notifications
        found = [(channel, text) for _, channel, text in received]
        received.clear()
        return found

    def close(self) -> None:
        """Harmless when repeated."""
        try:
            self._driver.close()
        except Exception:
            pass  # it is as good as closed


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"passfile {path}: {getattr(error, 'strerror', None) or error}") from None


@cache
def dollars(statement: str) -> str:
    """`?1` as PostgreSQL writes it.  The statements are ours and few."""
    return statement.replace("?", "$")


def _text(value: Value) -> str:
    return "\\x" + value.hex() if isinstance(value, bytes) else str(value)


_CODES: Final[dict[str, Callable[[str], StoreError]]] = {
    "53100": OverQuota,  # disk_full
    "55P03": busy,  # lock_not_available
    "40P01": Conflict,  # deadlock_detected
    "40001": Conflict,  # serialization_failure
}


def _said(error: Exception, where: str) -> StoreError:
    """What the server says, in the store's terms."""
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    text = str(fields.get("M", error))
    if fields.get("V", fields.get("S")) in ("FATAL", "PANIC"):
        return ConnectionLost(f"{where}: {text}")
    return _CODES.get(fields.get("C", ""), StoreUnavailable)(f"{where}: {text}")
