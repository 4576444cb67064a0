"""A next hop as it is written in transport tables and relayhost (transport(5), postconf(5) relayhost).

    example.org   example.org:2525   [mail.example.org]   [192.0.2.1]:24   [IPv6:2001:db8::1]   unix:/run/lmtp
    inet:host:port (as LMTP transports write it)
    [one.example], [two.example]:587   (several, tried in this order)

A name in brackets is a host, without brackets a domain whose MX records count.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from pillarbox.lib.address.domain import to_ascii


class BadDestination(ValueError):
    """A next hop that can't be read; the text says why."""


PORT_NAMES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "lmtp": 24, "private-mail": 24}
"""Service names that are understood in place of a number; /etc/services is not read by a confined program."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A next hop.  Exactly one of `host` and `path` is set; `use_mx` says that `host` is a domain."""

    host: str = ""
    port: int = 25
    use_mx: bool = False
    path: str = ""

    @property
    def literal(self) -> str:
        """The IP address that `host` is, or ""."""
        if ":" not in self.host and not self.host[-1:].isdigit():
            return ""  # nearly all are names
        try:
            return str(ipaddress.ip_address(self.host))
        except ValueError:
            return ""


def split_destinations(text: str) -> tuple[str, ...]:
    """The destinations of a list; a text with nothing in it is one, and a bad one."""
    if "," not in text and " " not in text:
        return (text,)
    return tuple(text.replace(",", " ").split()) or (text,)


@lru_cache(maxsize=1000)  # a busy destination is named in every request
def parse_destination(text: str, default_port: int) -> Destination:
    """Raises BadDestination."""
    if text.startswith("unix:"):
        path = text[5:]
        if not path:
            raise BadDestination(f'a socket was expected behind "unix:" in "{text}"')
        return Destination(path=path, port=0)
    use_mx = not text.startswith("inet:")
    rest = text.removeprefix("inet:")
    if rest.startswith("["):
        host, bracket, behind = rest[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise BadDestination(f'"[host]" or "[host]:port" was expected, not "{text}"')
        port = behind[1:]
        use_mx = False
        if host[:5].lower() == "ipv6:":
            host = host[5:]
    elif rest.count(":") > 1:
        host, port = rest, ""  # an IPv6 address without brackets
    else:
        host, _, port = rest.partition(":")
    host = host.strip().removesuffix(".")
    if not host:
        raise BadDestination(f'a host or domain was expected in "{text}"')
    if not host.isascii():
        host = to_ascii(host) or host  # RFC 6531 section 3.2: names are looked up in A-labels
    destination = Destination(host, _port(port, text) if port else default_port, use_mx)
    if destination.use_mx and destination.literal:
        return Destination(host, destination.port, use_mx=False)
    return destination


def parse_port(text: str) -> int:
    """A port number or service name.  Raises BadDestination."""
    return _port(text, text)


def _port(port: str, text: str) -> int:
    if port in PORT_NAMES:
        return PORT_NAMES[port]
    if not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536:
        raise BadDestination(f'a port was expected in "{text}"')
    return int(port)
