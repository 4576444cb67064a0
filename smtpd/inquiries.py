"""Commands that ask or order something outside a transaction: VRFY, EXPN, ETRN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.address import AddressSyntaxError, parse_path
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.log import log
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Etrn, Expand, Verify
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.smtpd.checks import decide
from pillarbox.smtpd.policy.driver import judge

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session


def complete(session: Session, address: str) -> str:
    """An address without domain gets $myorigin; the null reverse-path stays."""
    if address and ("@" not in address or address[-1] == '"'):
        return f"{address}@{session.server.origin}"
    return address


def _address(session: Session, argument: str) -> str | None:
    """The argument of VRFY or EXPN, with or without angle brackets, as a complete address."""
    text = argument.partition(" ")[0] if argument[:1] != '"' else argument
    try:
        return complete(session, str(parse_path(text if text.startswith("<") else f"<{text}>", allow_bare=True)))
    except AddressSyntaxError:
        return None


def verify(session: Session, event: Verify) -> None:
    """VRFY: what RCPT would say."""
    decide(session, "VRFY", event, _obey_verify, _refuse_verify)


def _refuse_verify(session: Session, event: Verify, reply: Reply) -> None:
    session.reject("VRFY", reply, event.argument)


def _obey_verify(session: Session, event: Verify) -> None:
    session.later(_verify(session, event))


async def _verify(session: Session, event: Verify) -> None:
    recipient = _address(session, event.argument)
    if recipient is None:
        session.core.answer(replies.BAD_RECIPIENT)
        return
    refusal = await judge(session, recipient)
    if refusal is not None:
        session.reject("VRFY", refusal, recipient)
    else:
        session.core.answer(replies.verified(recipient))


def expand(session: Session, event: Expand) -> None:
    """EXPN: one step of expansion, by virtual aliases, or for local domains by aliases(5)."""
    session.later(_expand(session, event))


async def _expand(session: Session, event: Expand) -> None:
    address = _address(session, event.argument)
    if address is None:
        session.core.answer(replies.BAD_RECIPIENT)
        return
    try:
        targets = await session.server.lookup.members(address)
    except LookupFailed as error:
        log.warning(f"{address}: EXPN: {error}")
        session.core.answer(replies.lookup_failure(address))
        return
    if not targets:
        session.reject("EXPN", replies.no_alias(address), address)
    else:
        session.core.answer(replies.expanded(tuple(complete(session, target) for target in targets)))


def etrn(session: Session, event: Etrn) -> None:
    """ETRN: the mail that waits for a domain of fast_flush_domains is sent at once (RFC 1985)."""
    decide(session, "ETRN", event, _obey_etrn, _refuse_etrn)


def _refuse_etrn(session: Session, event: Etrn, reply: Reply) -> None:
    session.reject("ETRN", reply)


def _obey_etrn(session: Session, event: Etrn) -> None:
    session.later(_flush(session, event))


async def _flush(session: Session, event: Etrn) -> None:
    try:
        count = await session.server.qmgr.flush_site(event.domain)
    except ServiceUnavailable as error:
        log.warning(f"ETRN {event.domain}: {error.reason}")
        session.core.answer(replies.UNABLE_TO_QUEUE)
        return
    if count is None:
        session.reject("ETRN", replies.etrn_unavailable(event.domain))
    else:
        log.info(f"ETRN {event.domain} from {session.client.tag}: {count} messages")
        session.core.answer(replies.QUEUING_STARTED)
