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
        "CONNECT": (connections,) if limits.counting else (),
        "MAIL": (messages,) if limits.message_rate else (),
        "RCPT": (recipients,) if limits.recipient_rate else (),
    }


async def _connections(session: Session) -> Verdict:
    server, client = session.server, session.client
    limits = server.limits
    try:
        counts = await server.anvil.connect(server.service, client.address)
    except ServiceUnavailable as error:
        log.warning(error.reason)
        return None
    session.registered = True
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


async def _within(session: Session, kind: EventKind, limit: int, what: str, refusal: Reply) -> Verdict:
    return refusal if await exceeds(session, kind, limit, what) else None


async def exceeds(session: Session, kind: EventKind, limit: int, what: str) -> bool:
    """Count an event; whether it is beyond the limit."""
    server = session.server
    try:
        rate = await server.anvil.count(server.service, session.client.address, kind)
    except ServiceUnavailable as error:
        log.warning(error.reason)
        return False
    if rate <= limit:
        return False
    log.warning(f"{what} limit exceeded: {rate} from {session.client.tag} for service {server.service}")
    return True
