"""From a server's address to a conversation that is ready for mail: connect, greeting, EHLO, STARTTLS, EHLO.

What TLS a server must have is agreed on when it has greeted (`agreement`).  Where nothing is demanded, nothing
about TLS prevents a delivery (RFC 7435): if the handshake fails, the same server is asked again with less.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from pillarbox.lib.log import log
from pillarbox.lib.smtp.client import Client, State
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.smtp_client.agreement import NO_TLS, Agreement, Unprotected
from pillarbox.smtp_client.connection import Connection, ConversationFailed
from pillarbox.smtp_client.dialling import dial, reason_of
from pillarbox.smtp_client.login import LoginFailed
from pillarbox.smtp_client.protection import is_inside
from pillarbox.smtp_client.racing import NobodyAnswers, first_to_answer
from pillarbox.smtp_client.results import refused
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.securing import TlsFailed
from pillarbox.smtp_client.settings import Settings
from pillarbox.smtp_client.terms import Terms
from pillarbox.smtp_client.tls_policy import INSIDE
from pillarbox.smtp_client.transport_security import Tls

_MANGLED = re.compile(r"[20 *\t]+")
"""A greeting that a Cisco PIX has been at."""


UNSAFE = ("4.7.5", "4.7.10")
"""Codes of servers that cannot show whose they are, as far as is known before they are asked."""


class Unusable(Exception):
    """No conversation with `server`, or, where nobody `answered`, with any of those that were tried.

    `reply` is what it said, if that is why.  `unsafe`: it has shown that it does not protect mail as it should;
    that it cannot just now is something else.
    """

    def __init__(
        self,
        dsn: str,
        text: str,
        server: Server,
        *,
        answered: bool,
        reply: ServerReply | None = None,
        unsafe: bool = False,
    ) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text
        self.server = server
        self.answered = answered
        self.reply = reply
        self.unsafe = unsafe


LogIn = Callable[[Connection], Awaitable[None]]
"""Log in where there is a password for the connection's server.  Raises LoginFailed, LookupFailed."""


async def connect(
    servers: Sequence[Server],
    domain: str,
    settings: Settings,
    *,
    find_loops: bool,
    terms: Terms,
    agreed: Callable[[], Awaitable[Terms]],
    tls: Tls,
    unreached: Callable[[Server], None],
    log_in: LogIn | None = None,
) -> Connection:
    """A connection that may carry mail, to one of `servers`, which are equally good.

    `terms` say from where, `agreed` gives those that hold once somebody is there.
    `domain` is the next hop as configured, for certificates and messages; `find_loops` says that a server with our own
    name is ourselves; `unreached` hears of those at which nobody answers; `log_in` does that before there is mail.
    Raises Unusable, LookupFailed, NoPolicy.
    """
    server, sock = await _reach(servers, settings, terms, unreached)
    way = _Way(server, domain, settings, terms, agreed, tls, find_loops, log_in)
    connection = await _converse(way, sock)
    connection.terms = replace(way.terms, tls=INSIDE) if way.inside else way.terms
    return connection


@dataclass(slots=True)
class _Way:
    """To one server, which is asked with less TLS where that is allowed and more has failed."""

    server: Server
    domain: str
    settings: Settings
    terms: Terms
    agreed: Callable[[], Awaitable[Terms]]
    tls: Tls
    find_loops: bool
    log_in: LogIn | None
    agreement: Agreement | None = None
    wanted: str = ""
    """The status of the first agreement."""

    @property
    def inside(self) -> bool:
        return is_inside(self.server, self.settings)

    async def agree(self) -> Agreement:
        """What is demanded of the server, which has spoken.  Raises Unusable, LookupFailed, NoPolicy."""
        if self.agreement is None:
            self.terms = await self.agreed()
            self.agreement = NO_TLS if self.server.path else await self._demanded()
            self.wanted = self.agreement.status
        return self.agreement

    async def _demanded(self) -> Agreement:
        policies = self.tls.policies
        try:
            policy = policies.default if self.inside else self.terms.tls
            return await policies.for_server(policy, self.server, self.domain)
        except Unprotected as failure:
            unsafe = failure.dsn in UNSAFE
            raise Unusable(failure.dsn, failure.text, self.server, answered=True, unsafe=unsafe) from None


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


async def _converse(way: _Way, sock: socket.socket) -> Connection:
    while True:
        try:
            connection = await _begin(way, sock)
        except TlsFailed as failure:
            reason = f"Cannot start TLS: {failure}"
            otherwise = (await way.agree()).otherwise
            if otherwise is None:
                raise Unusable("4.7.5", reason, way.server, answered=True, unsafe=failure.stranger) from None
            way.agreement = otherwise
            again = "without TLS" if otherwise.demand is None else "without knowing whose it is"
            log.info(f"{reason}: {way.server.relay}: trying again {again}")
        else:
            made = (await way.agree()).status if connection.tls else "none"
            connection.tls_status = way.wanted if way.wanted == made else f"{way.wanted}:{made}"
            return connection
        try:
            _, sock = await _reach([way.server], way.settings, way.terms, lambda server: None)
        except Unusable as failure:
            failure.answered = True  # a moment ago: one that comes and goes is not asked for ever
            raise


async def _begin(way: _Way, sock: socket.socket) -> Connection:
    loop = asyncio.get_running_loop()
    server, settings = way.server, way.settings
    client = Client(way.terms.helo, lmtp=settings.lmtp, without=settings.discard_keywords)
    connection = Connection(server, client, settings.timeouts, way.terms)
    connection.least_rate = settings.min_data_rate
    connection.hears_goodbye = not settings.skip_quit_response
    if settings.notices is not None:
        connection.watch(settings.notices)
    if server.path:
        await loop.create_unix_connection(lambda: connection, sock=sock)
    else:
        await loop.create_connection(lambda: connection, sock=sock)
    try:
        if settings.tls_wrapped and (agreement := await way.agree()).demand is not None:
            await way.tls.securing.handshake(connection, agreement, way.domain, wrapped=True)
            await _greeting(connection, settings)
            await _introduce(connection, way)
            way.tls.securing.keep(connection, agreement, way.domain)
        else:
            await _greeting(connection, settings)
            agreement = await way.agree()
            await _introduce(connection, way)
            if agreement.demand is not None:
                await _secure(connection, way, agreement)
            elif settings.tls_notes_offer and "STARTTLS" in client.capabilities:
                log.info(f"Host offered STARTTLS: [{server.host}]")
        if way.log_in is not None:
            connection.verified = connection.tls != "" and agreement.proves
            await way.log_in(connection)
    except LoginFailed as failure:
        connection.quit()
        raise Unusable(failure.dsn, failure.text, server, answered=True, reply=failure.reply) from None
    except ConversationFailed as failure:
        connection.abort()
        raise Unusable(failure.dsn, failure.text, server, answered=True) from None
    except BaseException:
        connection.abort()
        raise
    connection.opened = loop.time()
    connection.ready = time.time()
    return connection


async def _greeting(connection: Connection, settings: Settings) -> None:
    client, server = connection.client, connection.server
    await connection.settle()
    assert client.greeting is not None
    if client.state is not State.GREETED:
        raise _refused(server, client.greeting, soften=settings.skip_5xx_greeting)
    connection.mangled = _MANGLED.fullmatch(str(client.greeting)) is not None


async def _introduce(connection: Connection, way: _Way) -> None:
    await _hello(connection, way.settings)
    if way.find_loops and connection.client.capabilities.name.lower() == way.settings.myhostname.lower():
        raise Unusable("5.4.6", f"mail for {way.domain} loops back to myself", way.server, answered=True)


def _is_extended(connection: Connection, settings: Settings) -> bool:
    """Whether to begin with EHLO."""
    greeting = connection.client.greeting
    if settings.never_send_ehlo or (connection.mangled and "disable_esmtp" in settings.pix_workarounds):
        return False
    return settings.always_send_ehlo or (greeting is not None and "ESMTP" in str(greeting).upper().split())


async def _hello(connection: Connection, settings: Settings) -> None:
    """EHLO, or HELO for a server that does not know it (RFC 5321 section 3.2)."""
    client = connection.client
    client.hello(extended=client.lmtp or _is_extended(connection, settings))
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


async def _secure(connection: Connection, way: _Way, agreement: Agreement) -> None:
    client, server, securing = connection.client, way.server, way.tls.securing
    mandatory = agreement.otherwise is None
    if "STARTTLS" not in client.capabilities:
        text = f"TLS is required, but was not offered by host {server.name}"
        securing.failed(
            connection, agreement, way.domain, "starttls-not-supported", text if mandatory else "not offered"
        )
        if mandatory:
            raise Unusable("4.7.4", text, server, answered=True, unsafe=True)
        return
    client.start_tls()
    try:
        await connection.settle()
    except ConversationFailed as failure:
        securing.failed(connection, agreement, way.domain, "starttls-not-supported", failure.text)
        if mandatory:
            raise
        raise TlsFailed(failure.text) from None
    if client.state is not State.SECURING:
        reply = client.starttls_reply
        text = f"TLS is required, but host {server.name} refused to start TLS: {reply}"
        securing.failed(connection, agreement, way.domain, "starttls-not-supported", str(reply))
        if mandatory:
            final = reply is not None and reply.kind == 5
            raise Unusable("4.7.4", text, server, answered=True, reply=reply, unsafe=final)
        if client.state is not State.READY:
            raise TlsFailed(f"refused: {client.starttls_reply}")
        return
    await securing.handshake(connection, agreement, way.domain)
    try:
        await _hello(connection, way.settings)
    except ConversationFailed as failure:
        if mandatory:
            raise
        raise TlsFailed(failure.text) from None
    securing.keep(connection, agreement, way.domain)
