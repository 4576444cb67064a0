"""A connected socket to one server, from the local address that the message's terms name."""

from __future__ import annotations

import asyncio
import os
import socket

from pillarbox.lib.log import log
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.terms import Terms


class _NoSource(OSError):
    """The local address cannot be used."""


async def dial(server: Server, settings: Settings, terms: Terms) -> socket.socket:
    """Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    if server.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    else:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if server.path:
            async with asyncio.timeout(settings.connect_timeout):
                await loop.sock_connect(sock, os.path.join(settings.queue_directory, server.path))
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source := terms.source(server):
                _bind(sock, source, terms)
            async with asyncio.timeout(settings.connect_timeout):
                await loop.sock_connect(sock, (server.address, server.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, source: str, terms: Terms) -> None:
    try:
        sock.bind((source, 0))
    except OSError as error:
        text = f"cannot use the local address {source}: {error.strerror}"
        if terms.strict:
            raise _NoSource(text) from None
        log.warning(f"{text}; any other is used")


def reason_of(error: Exception) -> str:
    """Why nobody could be reached, in the system's words."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "Connection timed out" if isinstance(error, TimeoutError) else str(error)
