"""Which servers to ask: the `dns_resolver` parameter, else the text of /etc/resolv.conf (resolv.conf(5))."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

DNS_PORT = 53
SERVER_LIMIT = 3
"""Name servers of resolv.conf that count (resolv.conf(5), MAXNS)."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address of one DNS server."""

    address: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}"


def parse_server(text: str) -> Server:
    """`ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.  Raises ValueError that says what was expected."""
    host, port = text, ""
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ValueError(f'an address "[ADDRESS]:PORT" was expected, not "{text}"')
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise ValueError(f'the address of a DNS server was expected, not "{text}"') from None
    if not port:
        return Server(address)
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise ValueError(f'a port from 1 to 65535 was expected in "{text}"')
    return Server(address, int(port))


def parse_resolv_conf(text: str) -> tuple[Server, ...]:
    """The `nameserver` lines; 127.0.0.1 where there is none, as resolv.conf(5) has it.  Lines in error are ignored."""
    found: list[Server] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0] == "nameserver":
            try:
                ipaddress.ip_address(fields[1])
            except ValueError:
                continue
            found.append(Server(fields[1]))
    return tuple(found[:SERVER_LIMIT]) or (Server("127.0.0.1"),)


def is_trusted_path(server: Server, resolv_conf: str) -> bool:
    """Whether nobody else can answer for a server: it is on this machine, or resolv.conf says `options trust-ad`."""
    if ipaddress.ip_address(server.address).is_loopback:
        return True
    lines = [line.split() for line in resolv_conf.splitlines()]
    return any(fields[:1] == ["options"] and "trust-ad" in fields for fields in lines)


def choose_servers(configured: Iterable[str], resolv_conf: str) -> tuple[Server, ...]:
    """The configured servers if any, else those of resolv.conf.  Raises ValueError."""
    return tuple(map(parse_server, configured)) or parse_resolv_conf(resolv_conf)
