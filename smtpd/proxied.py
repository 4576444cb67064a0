"""Connections through a load balancer that sends a PROXY header (smtpd_upstream_proxy_protocol).

The header is read off the bare socket, exactly to its end, before session or TLS handshake begin, so that both find the
connection as if the client had made it itself.  A listed peer that sends none, or a broken one, or none in time, is
cut off; the header of a peer that is not listed is not looked for: to the session it is bad input like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from pillarbox.lib.log import log
from pillarbox.lib.smtp.networks import plain_address
from pillarbox.lib.smtp.proxy_protocol import ProxyError, ProxyReader
from pillarbox.smtpd.origin import Origin, connection_origin
from pillarbox.smtpd.server import Server
from pillarbox.smtpd.session import Handlers, Session
from pillarbox.smtpd.wrapper import serve_wrapped

_PIECE = 4096
"""Octets that are looked at in one go; nearly every header is shorter than 200."""


async def serve_proxied(server: Server, handlers: Handlers, connection: socket.socket) -> None:
    """One connection, from its PROXY header, if its peer is to send one, to the end of its session."""
    try:
        peer = connection.getpeername()
    except OSError:
        return  # gone before it was accepted
    origin = None
    assert server.proxies is not None
    if plain_address(peer[0]) in server.proxies:
        origin = await _read_header(server, connection, f"[{plain_address(peer[0])}]:{peer[1]}")
        if origin is None:
            return
    if server.wrapper:
        await serve_wrapped(server, handlers, connection, origin)
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def released() -> None:
        if not ended.done():
            ended.set_result(None)

    try:
        await loop.connect_accepted_socket(lambda: Session(server, handlers, released, origin), connection)
    except OSError:
        return
    with contextlib.suppress(asyncio.CancelledError):
        await ended


async def _read_header(server: Server, connection: socket.socket, peer: str) -> Origin | None:
    """What the header says; None where the connection is to be closed, and the log says why."""
    reader = ProxyReader()
    try:
        async with asyncio.timeout(server.proxy_timeout):
            while reader.header is None:
                await _readable(connection)
                try:
                    data = connection.recv(_PIECE, socket.MSG_PEEK)
                    if not data:
                        raise ProxyError("the connection ended before the PROXY header")
                    connection.recv(reader.feed(data))
                except BlockingIOError:
                    continue
    except TimeoutError:
        log.warning(f"haproxy read from {peer}: timeout error")
        return None
    except (ProxyError, OSError) as error:
        log.warning(f"haproxy read from {peer}: {error}")
        return None
    header = reader.header
    if header.source is None or header.destination is None:
        return connection_origin(connection.getpeername(), connection.getsockname())
    return Origin(*header.source, *header.destination)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connection, wake)
    try:
        await ready
    finally:
        loop.remove_reader(connection)
