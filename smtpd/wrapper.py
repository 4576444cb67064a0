"""TLS from the first byte (port 465): the handshake comes before the session.

The loop makes the TLS transport itself here: switching a plain transport over, as STARTTLS does, would be too late,
since loops begin to read as soon as a connection is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from pillarbox.lib.log import log
from pillarbox.lib.smtp.networks import plain_address
from pillarbox.smtpd.client import Client
from pillarbox.smtpd.server import Server
from pillarbox.smtpd.session import Handlers, Session, handshake_error


async def serve_wrapped(server: Server, handlers: Handlers, connection: socket.socket) -> None:
    """One connection, from the handshake to the end of its session."""
    assert server.tls is not None
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def released() -> None:
        if not ended.done():
            ended.set_result(None)

    try:
        address, port = connection.getpeername()[:2]
    except OSError:
        return  # gone before it was accepted
    try:
        await loop.connect_accepted_socket(
            lambda: Session(server, handlers, released),
            connection,
            ssl=server.tls,
            ssl_handshake_timeout=server.limits.tls_timeout,
        )
    except OSError as error:
        if ended.done():
            return
        client = Client(plain_address(address), port)
        if (found := server.names.known(client.address)) is not None:
            client.settle(found.name)
        log.info(f"connect from {client.tag}")
        log.info(f"SSL_accept error from {client.tag}: {handshake_error(error)}")
        log.info(f"lost connection after CONNECT from {client.tag}")
        log.info(f"disconnect from {client.tag} commands=0/0")
        return
    with contextlib.suppress(asyncio.CancelledError):
        await ended
