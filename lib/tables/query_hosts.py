"""The setting `hosts` of SQL tables: `unix:/path`, `inet:host:port`, `host`, `[address]:port`."""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.tables.endpoint import parse_endpoint
from pillarbox.lib.tables.query_pool import Server


def parse_host(word: str, default_port: int, socket: Callable[[str, int], str]) -> Server:
    """The server of one word.  `socket` gives the path of the socket for what stands behind `unix:` and a port.

    Raises ValueError.
    """
    place = word.removeprefix("unix:").removeprefix("inet:")
    if word.startswith("unix:") or place.startswith("/"):
        if not place.startswith("/") or word.startswith("inet:"):
            raise ValueError(f'"{word}": the path of a socket was expected behind "unix:"')
        path, colon, port = place.rpartition(":")
        if colon and port.isdigit():
            return Server(word, path=socket(path, int(port)))
        return Server(word, path=socket(place, default_port))
    if place.count(":") > 1 and not place.startswith("["):
        raise ValueError(f'"{word}": brackets were expected around an IPv6 address')
    endpoint = parse_endpoint(place, default_port)
    return Server(word, host=endpoint.host, port=endpoint.port)
