"""Bytes passed on in both directions between a client under TLS and its session, with back-pressure.

Each direction holds one piece: nothing more is read before it has been written.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from pillarbox.lib.login.connection import ClientConnection, ClientGone

PIECE = 64 * 1024
"""Bytes taken from the session at once: four TLS records."""

LINGER = 30.0
"""Seconds that the session gets to end after its client has gone (an APPEND may be committing)."""


async def proxy(client: ClientConnection, session: socket.socket) -> None:
    """Pass bytes on until the session ends, or until it has had time to notice that the client has."""
    loop = asyncio.get_running_loop()
    inward = loop.create_task(_inward(client, session))
    outward = loop.create_task(_outward(client, session))
    try:
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        if not outward.done():
            await asyncio.wait((outward,), timeout=LINGER)
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def _inward(client: ClientConnection, session: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ClientGone, OSError):
        while True:
            await loop.sock_sendall(session, await client.read_some())
    with contextlib.suppress(OSError):
        session.shutdown(socket.SHUT_WR)


async def _outward(client: ClientConnection, session: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ClientGone, OSError):
        while data := await loop.sock_recv(session, PIECE):
            await client.write(data)
    await client.shut()
