"""Relay and recipient policy as a check in RCPT: asks lookup about the recipient, then the rules of `access`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Rcpt
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.smtpd.access import Request, check_recipient

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session


def checks(server: Server) -> Checks:
    """Every service has them."""
    return {"RCPT": (policy,)}


def policy(session: Session, event: Rcpt) -> Any:
    """smtpd_relay_restrictions, smtpd_recipient_restrictions, and whether the recipient exists."""
    assert session.transaction is not None
    recipient = session.transaction.candidate
    verdict = session.server.lookup.known_recipient(recipient)
    if verdict is None or not session.client.named:
        return _ask(session, recipient)
    return check_recipient(_request(session, recipient, verdict))


async def _ask(session: Session, recipient: str) -> Verdict:
    await session.name_settled()
    return await judge(session, recipient)


async def judge(session: Session, recipient: str) -> Verdict:
    """What RCPT would say against a recipient, also outside a transaction."""
    try:
        verdict = await session.server.lookup.recipient(recipient)
    except LookupFailed as error:
        log.warning(f"{recipient}: recipient look-up: {error}")
        return replies.lookup_failure(recipient)
    return check_recipient(_request(session, recipient, verdict))


def _request(session: Session, recipient: str, verdict: RecipientVerdict) -> Request:
    transaction = session.transaction
    return Request(
        session.server.policy,
        session.trusted,
        session.core.authenticated,
        transaction.sender if transaction is not None else "",
        recipient,
        verdict,
    )
