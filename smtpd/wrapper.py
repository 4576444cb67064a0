"""TLS from the first byte (port 465): the handshake comes before the session.

The loop makes the TLS transport itself here: switching a plain transport over, as STARTTLS does, would be too late,
since loops begin to read as soon as a connection is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from pillarbox.lib.log import log
from pillarbox.smtpd.client import Client
from pillarbox.smtpd.origin import Origin, connection_origin
from pillarbox.smtpd.server import Server
from pillarbox.smtpd.session import Handlers, Session, handshake_error


async def serve_wrapped(
    server: Server, handlers: Handlers, connection: socket.socket, origin: Origin | None = None
) -> None:
    """One connection, from the handshake to the end of its session; `origin` is what a PROXY header says."""
    assert server.tls is not None
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def released() -> None:
        if not ended.done():
            ended.set_result(None)

    try:
        ends = origin or connection_origin(connection.getpeername(), connection.getsockname())
    except OSError:
        return  # gone before it was accepted
    assert ends is not None
    try:
        await loop.connect_accepted_socket(
            lambda: Session(server, handlers, released, origin),
            connection,
            ssl=server.tls,
            ssl_handshake_timeout=server.limits.tls_timeout,
        )
    except OSError as error:
        if ended.done():
            return
        client = Client(ends.address, ends.port)
        if (found := server.names.known(client.address)) is not None:
            client.settle(found.name, found)
        log.info(f"connect from {client.tag}")
        log.info(f"SSL_accept error from {client.tag}: {handshake_error(error)}")
        log.info(f"lost connection after CONNECT from {client.tag}")
        log.info(f"disconnect from {client.tag} commands=0/0")
        return
    with contextlib.suppress(asyncio.CancelledError):
        await ended
