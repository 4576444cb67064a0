"""Where a table's server is: `inet:host:port`, `host:port` or `unix:path`; hosts may be `[addresses]`.

Names are resolved by the system at each connection, so that a server that moves is found.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from pillarbox.lib.tables.table import Reach


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` of a UNIX socket, or else `host` and `port`."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"

    def reach(self) -> Reach:
        """What a connection needs."""
        if self.path:
            return Reach()
        return Reach(frozenset((self.port,)), names=self._address is None and self.host != "localhost")

    @property
    def _address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def on_this_host(self) -> bool:
        """Whether nobody in a network can answer in the server's place."""
        address = self._address
        return bool(self.path) or self.host == "localhost" or (address is not None and address.is_loopback)

    def connect(self, timeout: float) -> socket.socket:
        """A new connection, with TCP_NODELAY.  Raises OSError."""
        if self.path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(timeout)
                connection.connect(self.path)
            except BaseException:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((self.host, self.port), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def parse_endpoint(text: str, default_port: int = 0) -> Endpoint:
    """Read an endpoint.  A port may be missing where there is a default.  Raises ValueError."""
    expected = f'"inet:host:port" or "unix:/path" was expected instead of "{text}"'
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError(expected)
        return Endpoint(path=path)
    rest = text.removeprefix("inet:")
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(expected)
        port = port[1:]
    else:
        host, colon, port = rest.rpartition(":")
        if not colon:
            host, port = rest, ""
    if not port and default_port:
        return Endpoint(_host(host, expected), default_port)
    return Endpoint(_host(host, expected), _port(port, expected))


def _host(host: str, expected: str) -> str:
    if not host or not host.isascii() or not all(character.isalnum() or character in ".-:_%" for character in host):
        raise ValueError(expected)
    return host


def _port(port: str, expected: str) -> int:
    if port.isascii() and port.isdigit() and len(port) <= 5:
        number = int(port)
    else:
        try:
            number = socket.getservbyname(port, "tcp")
        except (OSError, UnicodeError):
            raise ValueError(expected) from None
    if not 0 < number < 65536:
        raise ValueError(expected)
    return number
