"""Limits per client that anvil counts: sessions at once, and sessions, messages, recipients per unit of time.

A counter that is away limits nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.anvil import EventKind
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session


def checks(server: Server) -> Checks:
    """The checks that the limits of the service ask for."""
    limits = server.limits
    return {
        "CONNECT": (
            *((connections,) if limits.counting else ()),
            *((wrapped,) if limits.tls_rate and server.wrapper else ()),
        ),
        "MAIL": (messages,) if limits.message_rate else (),
        "RCPT": (recipients,) if limits.recipient_rate else (),
    }


async def _connections(session: Session) -> Verdict:
    server, client = session.server, session.client
    limits = server.limits
    try:
        counts = await server.anvil.connect(server.service, server.clients.of(client.address))
    except ServiceUnavailable as error:
        log.warning(error.reason)
        return None
    session.registered = True
    session.connections = counts.connections
    if counts.connections > limits.connection_count > 0:
        problem = f"Connection concurrency limit exceeded: {counts.connections}"
    elif counts.rate > limits.connection_rate > 0:
        problem = f"Connection rate limit exceeded: {counts.rate}"
    else:
        return None
    log.warning(f"{problem} from {client.tag} for service {server.service}")
    return replies.too_many_connections(server.host, client.address)


def connections(session: Session, event: Any) -> Any:
    """smtpd_client_connection_count_limit, smtpd_client_connection_rate_limit."""
    return _connections(session) if session.counted else None


def messages(session: Session, event: Mail) -> Any:
    """smtpd_client_message_rate_limit."""
    if not session.counted:
        return None
    limit = session.server.limits.message_rate
    refusal = replies.too_much_mail(session.client.address)
    return _within(session, "message", limit, "Message delivery request rate", refusal)


def recipients(session: Session, event: Rcpt) -> Any:
    """smtpd_client_recipient_rate_limit."""
    if not session.counted:
        return None
    limit = session.server.limits.recipient_rate
    refusal = replies.too_many_recipients_from(session.client.address)
    return _within(session, "recipient", limit, "Recipient address rate", refusal)


def authentications(session: Session) -> Any:
    """smtpd_client_auth_rate_limit: a coroutine for a refusal or None, None where nothing has to be asked."""
    limit = session.server.limits.auth_rate
    if not session.counted or not limit:
        return None
    return _within(session, "auth", limit, "AUTH command rate", replies.too_many_auth(session.client.address))


async def may_start_tls(session: Session) -> Verdict:
    """smtpd_client_new_tls_session_rate_limit at STARTTLS, where nobody knows whether the session will be new."""
    server, client = session.server, session.client
    try:
        rate = await server.anvil.rate(server.service, server.clients.of(client.address), "tls")
    except ServiceUnavailable as error:
        log.warning(error.reason)
        return None
    if rate <= server.limits.tls_rate:
        return None
    log.warning(f"Refusing STARTTLS request from {client.tag} for service {server.service}")
    return replies.too_many_tls_sessions(client.address)


async def new_tls_session(session: Session) -> Verdict:
    """The same after the handshake: a session that was not resumed counts."""
    limit, tls = session.server.limits.tls_rate, session.transport.get_extra_info("ssl_object")
    if not session.counted or not limit or tls is None or tls.session_reused:
        return None
    refusal = replies.tls_sessions_too_fast(session.server.host, session.client.address)
    return await _within(session, "tls", limit, "New TLS session rate", refusal)


def wrapped(session: Session, event: Any) -> Any:
    """The same where TLS comes first."""
    return new_tls_session(session) if session.counted else None


async def _within(session: Session, kind: EventKind, limit: int, what: str, refusal: Reply) -> Verdict:
    return refusal if await exceeds(session, kind, limit, what) else None


async def exceeds(session: Session, kind: EventKind, limit: int, what: str) -> bool:
    """Count an event; whether it is beyond the limit."""
    server = session.server
    try:
        rate = await server.anvil.count(server.service, server.clients.of(session.client.address), kind)
    except ServiceUnavailable as error:
        log.warning(error.reason)
        return False
    if rate <= limit:
        return False
    log.warning(f"{what} limit exceeded: {rate} from {session.client.tag} for service {server.service}")
    return True
