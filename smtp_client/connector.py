"""From a server's address to a conversation that is ready for mail: connect, greeting, EHLO, STARTTLS, EHLO.

At the TLS level "may" nothing about TLS prevents a delivery (RFC 7435): where the handshake fails, the same server is
asked again in clear text.  At the others there is TLS or no delivery.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time

from pillarbox.lib.log import log
from pillarbox.lib.smtp.client import Client, State
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.tls import LEVELS, cipher_text, is_verifying
from pillarbox.smtp_client.connection import Connection, ConversationFailed
from pillarbox.smtp_client.protection import is_inside
from pillarbox.smtp_client.results import refused
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import MANDATORY_TLS, Settings


class Unusable(Exception):
    """No conversation with this server.  `answered` says that it was reached and spoke."""

    def __init__(
        self, dsn: str, text: str, *, answered: bool, server: Server | None = None, reply: ServerReply | None = None
    ) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text
        self.answered = answered
        self.server = server
        """The server that gave `reply`."""
        self.reply = reply


class _TlsFailed(Exception):
    """The handshake, or the first words after it."""


async def _open_socket(server: Server, settings: Settings) -> socket.socket:
    loop = asyncio.get_running_loop()
    if server.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    else:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if server.path:
            async with asyncio.timeout(settings.connect_timeout):
                await loop.sock_connect(sock, server.path)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = settings.bind_addresses[1 if ":" in server.address else 0]
            if source:
                sock.bind((source, 0))
            async with asyncio.timeout(settings.connect_timeout):
                await loop.sock_connect(sock, (server.address, server.port))
    except BaseException:
        sock.close()
        raise
    return sock


async def connect(server: Server, domain: str, settings: Settings, *, find_loops: bool, level: str = "") -> Connection:
    """A connection to `server` that may carry mail.

    `domain` is the next hop as configured, for certificates and messages; `find_loops` says that a server with our own
    name is ourselves; `level` is the TLS level instead of the service's.  Raises Unusable.
    """
    if is_inside(server, settings):
        own = "none" if server.path else settings.tls_level
        connection = await _connect_as_may_be(server, domain, settings, own, find_loops)
        connection.level = LEVELS[-1]  # good for every message
        return connection
    level = level or settings.tls_level
    connection = await _connect_as_may_be(server, domain, settings, level, find_loops)
    connection.level = level
    return connection


async def _connect_as_may_be(
    server: Server, domain: str, settings: Settings, level: str, find_loops: bool
) -> Connection:
    try:
        return await _connect(server, domain, settings, level, find_loops)
    except _TlsFailed as failure:
        reason = f"Cannot start TLS: {failure}"
        if level in MANDATORY_TLS:
            raise Unusable("4.7.5", reason, answered=True) from None
        log.info(f"{reason}: {server.relay}: trying again without TLS")
    try:
        return await _connect(server, domain, settings, "none", find_loops)
    except _TlsFailed as failure:  # not without STARTTLS
        raise Unusable("4.7.5", f"Cannot start TLS: {failure}", answered=True) from None


async def _connect(server: Server, domain: str, settings: Settings, level: str, find_loops: bool) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        sock = await _open_socket(server, settings)
    except (OSError, TimeoutError) as error:
        text = f"connect to {server.relay}: {_reason(error)}"
        log.info(text)
        raise Unusable("4.4.1", text, answered=False) from None
    client = Client(settings.helo_name, lmtp=settings.lmtp, without=settings.discard_keywords)
    connection = Connection(server, client, settings.timeouts)
    if server.path:
        await loop.create_unix_connection(lambda: connection, sock=sock)
    else:
        await loop.create_connection(lambda: connection, sock=sock)
    try:
        await _greet(connection, domain, settings, find_loops)
        if level != "none":
            await _secure(connection, domain, settings, level)
    except ConversationFailed as failure:
        connection.abort()
        raise Unusable(failure.dsn, failure.text, answered=True) from None
    except BaseException:
        connection.abort()
        raise
    connection.opened = loop.time()
    connection.ready = time.time()
    return connection


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "Connection timed out" if isinstance(error, TimeoutError) else str(error)


async def _greet(connection: Connection, domain: str, settings: Settings, find_loops: bool) -> None:
    client, server = connection.client, connection.server
    await connection.settle()
    assert client.greeting is not None
    if client.state is not State.GREETED:
        raise _refused(server, client.greeting, soften=settings.skip_5xx_greeting)
    await _hello(connection)
    if find_loops and client.capabilities.name.lower() == settings.myhostname.lower():
        raise Unusable("5.4.6", f"mail for {domain} loops back to myself", answered=True)


async def _hello(connection: Connection) -> None:
    """EHLO, or HELO for a server that does not know it (RFC 5321 section 3.2)."""
    client = connection.client
    client.hello()
    await connection.settle()
    reply = client.hello_reply
    if client.state is State.GREETED and reply is not None and reply.kind == 5 and not client.lmtp:
        client.hello(extended=False)
        await connection.settle()
        reply = client.hello_reply
    if client.state is not State.READY:
        raise _refused(connection.server, reply or client.unsolicited)


def _refused(server: Server, reply: ServerReply | None, soften: bool = False) -> Unusable:
    if reply is None:
        return Unusable("4.4.2", f"lost connection with {server.name}", answered=True)
    dsn, text = refused(server, reply, soften)
    return Unusable(dsn, text, answered=True, server=server, reply=reply)


async def _secure(connection: Connection, domain: str, settings: Settings, level: str) -> None:
    client, server = connection.client, connection.server
    mandatory = level in MANDATORY_TLS
    if "STARTTLS" not in client.capabilities:
        if mandatory:
            text = f"TLS is required, but was not offered by host {server.name}"
            raise Unusable("4.7.4", text, answered=True)
        return
    client.start_tls()
    try:
        await connection.settle()
    except ConversationFailed as failure:
        if mandatory:
            raise
        raise _TlsFailed(failure.text) from None
    if client.state is not State.SECURING:
        if mandatory:
            reply = client.starttls_reply
            text = f"TLS is required, but host {server.name} refused to start TLS: {reply}"
            raise Unusable("4.7.4", text, answered=True, server=server, reply=reply)
        if client.state is not State.READY:
            raise _TlsFailed(f"refused: {client.starttls_reply}")
        return
    assert settings.tls_context is not None
    name = domain if level == "secure" else server.host
    try:
        await connection.start_tls(settings.tls_context(level), name, settings.starttls_timeout)
    except ssl.SSLCertVerificationError as error:
        raise _TlsFailed(f"server certificate not verified: {error.verify_message}") from None
    except (OSError, TimeoutError, ValueError) as error:
        log.info(f"SSL_connect error to {server.relay}: {_tls_reason(error)}")
        raise _TlsFailed("handshake failure") from None
    connection.tls = cipher_text(connection.ssl_object)
    if settings.tls_loglevel:
        trust = "Verified" if is_verifying(level) else "Untrusted"
        log.info(f"{trust} TLS connection established to {server.relay}: {connection.tls}")
    try:
        await _hello(connection)
    except ConversationFailed as failure:
        if mandatory:
            raise
        raise _TlsFailed(failure.text) from None


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return _reason(error) or type(error).__name__
