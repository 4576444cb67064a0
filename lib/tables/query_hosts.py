"""The setting `hosts` of SQL tables: `unix:/path`, `inet:host:port`, `host`, `[address]:port`."""

from __future__ import annotations

from collections.abc import Callable

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
    host, port_text = place, ""
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        port_text = rest.removeprefix(":")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f'"{word}": "[address]:port" was expected')
    elif place.count(":") == 1:
        host, _, port_text = place.partition(":")
    if not host:
        raise ValueError(f'"{word}": a host was expected')
    return Server(word, host=host, port=parse_port(port_text, default_port, word))


def parse_port(text: str, default: int, word: str) -> int:
    """A TCP port.  Raises ValueError."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f'"{word}": a port from 1 to 65535 was expected instead of "{text}"')
    return int(text)
