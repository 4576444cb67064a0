"""From a server's address to a conversation that is ready for mail: connect, greeting, EHLO, STARTTLS, EHLO.

At the TLS level "may" nothing about TLS prevents a delivery (RFC 7435): where the handshake fails, the same server is
asked again in clear text.  At the others there is TLS or no delivery.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pillarbox.lib.log import log
from pillarbox.lib.smtp.client import Client, State
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.tls import LEVELS, cipher_text, is_verifying
from pillarbox.smtp_client.connection import Connection, ConversationFailed
from pillarbox.smtp_client.dialling import dial, reason_of
from pillarbox.smtp_client.protection import is_inside
from pillarbox.smtp_client.racing import NobodyAnswers, first_to_answer
from pillarbox.smtp_client.results import refused
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import MANDATORY_TLS, Settings
from pillarbox.smtp_client.terms import Terms


class Unusable(Exception):
    """No conversation with `server`, or, where nobody `answered`, with any of those that were tried.

    `reply` is what it said, if that is why.
    """

    def __init__(
        self, dsn: str, text: str, server: Server, *, answered: bool, reply: ServerReply | None = None
    ) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text
        self.server = server
        self.answered = answered
        self.reply = reply


class _TlsFailed(Exception):
    """The handshake, or the first words after it."""


async def connect(
    servers: Sequence[Server],
    domain: str,
    settings: Settings,
    *,
    find_loops: bool,
    terms: Terms,
    unreached: Callable[[Server], None],
) -> Connection:
    """A connection that may carry mail, to one of `servers`, which are equally good.

    `domain` is the next hop as configured, for certificates and messages; `find_loops` says that a server with our own
    name is ourselves; `unreached` hears of those at which nobody answers.  Raises Unusable.
    """
    server, sock = await _reach(servers, settings, terms, unreached)
    if is_inside(server, settings):
        level = "none" if server.path else settings.tls_level
        connection = await _converse(server, sock, domain, settings, replace(terms, level=level), find_loops)
        connection.terms = replace(terms, level=LEVELS[-1])  # good for every message
        return connection
    connection = await _converse(server, sock, domain, settings, terms, find_loops)
    connection.terms = terms
    return connection


async def _reach(
    servers: Sequence[Server], settings: Settings, terms: Terms, unreached: Callable[[Server], None]
) -> tuple[Server, socket.socket]:
    text = ""

    def failed(server: Server, error: Exception) -> None:
        nonlocal text
        text = f"connect to {server.relay}: {reason_of(error)}"
        log.info(text)
        unreached(server)

    try:
        return await first_to_answer(
            servers,
            lambda server: dial(server, settings, terms),
            settings.attempt_delay,
            failed=failed,
            hang_up=lambda sock: sock.close(),
        )
    except NobodyAnswers:
        raise Unusable("4.4.1", text, servers[-1], answered=False) from None


async def _converse(
    server: Server, sock: socket.socket, domain: str, settings: Settings, terms: Terms, find_loops: bool
) -> Connection:
    try:
        return await _begin(server, sock, domain, settings, terms, find_loops)
    except _TlsFailed as failure:
        reason = f"Cannot start TLS: {failure}"
        if terms.level in MANDATORY_TLS:
            raise Unusable("4.7.5", reason, server, answered=True) from None
        log.info(f"{reason}: {server.relay}: trying again without TLS")
    _, sock = await _reach([server], settings, terms, lambda server: None)
    try:
        return await _begin(server, sock, domain, settings, replace(terms, level="none"), find_loops)
    except _TlsFailed as failure:  # not without STARTTLS
        raise Unusable("4.7.5", f"Cannot start TLS: {failure}", server, answered=True) from None


async def _begin(
    server: Server, sock: socket.socket, domain: str, settings: Settings, terms: Terms, find_loops: bool
) -> Connection:
    loop = asyncio.get_running_loop()
    client = Client(terms.helo, lmtp=settings.lmtp, without=settings.discard_keywords)
    connection = Connection(server, client, settings.timeouts, terms)
    if settings.notices is not None:
        connection.watch(settings.notices)
    if server.path:
        await loop.create_unix_connection(lambda: connection, sock=sock)
    else:
        await loop.create_connection(lambda: connection, sock=sock)
    try:
        await _greet(connection, domain, settings, find_loops)
        if terms.level != "none":
            await _secure(connection, domain, settings, terms.level)
    except ConversationFailed as failure:
        connection.abort()
        raise Unusable(failure.dsn, failure.text, server, answered=True) from None
    except BaseException:
        connection.abort()
        raise
    connection.opened = loop.time()
    connection.ready = time.time()
    return connection


async def _greet(connection: Connection, domain: str, settings: Settings, find_loops: bool) -> None:
    client, server = connection.client, connection.server
    await connection.settle()
    assert client.greeting is not None
    if client.state is not State.GREETED:
        raise _refused(server, client.greeting, soften=settings.skip_5xx_greeting)
    await _hello(connection)
    if find_loops and client.capabilities.name.lower() == settings.myhostname.lower():
        raise Unusable("5.4.6", f"mail for {domain} loops back to myself", server, answered=True)


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
        return Unusable("4.4.2", f"lost connection with {server.name}", server, answered=True)
    dsn, text = refused(server, reply, soften)
    return Unusable(dsn, text, server, answered=True, reply=reply)


async def _secure(connection: Connection, domain: str, settings: Settings, level: str) -> None:
    client, server = connection.client, connection.server
    mandatory = level in MANDATORY_TLS
    if "STARTTLS" not in client.capabilities:
        if mandatory:
            text = f"TLS is required, but was not offered by host {server.name}"
            raise Unusable("4.7.4", text, server, answered=True)
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
            raise Unusable("4.7.4", text, server, answered=True, reply=reply)
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
    return reason_of(error) or type(error).__name__
