"""What is done with each event of the protocol core: one function per event, found by a table.

A function answers at once where everything is at hand (the usual case costs no task), or hands a coroutine to
`session.later`.
"""

from __future__ import annotations

from typing import Final

from pillarbox.lib.address import AddressSyntaxError, parse_path
from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.anvil import EventKind
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.log import log
from pillarbox.lib.queue.envelope import Recipient
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import (
    Auth,
    AuthEnded,
    AuthResponse,
    Close,
    Content,
    Data,
    End,
    Etrn,
    Hello,
    Mail,
    Note,
    Overflow,
    Rcpt,
    Reset,
    StartTls,
    Verify,
)
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.tables.errors import LookupFailed
from pillarbox.smtpd.access import Request, check_recipient
from pillarbox.smtpd.session import Handlers, Session
from pillarbox.smtpd.transaction import Transaction


def hello(session: Session, event: Hello) -> None:
    """HELO, EHLO, LHLO: whatever the name, it is taken; AUTH is announced where it may be used."""
    profile = session.server.profile
    if event.verb == "HELO" or not profile.auth or (profile.auth_needs_tls and not session.core.tls):
        session.core.answer_hello()
    else:
        session.later(_hello_with_auth(session))


async def _hello_with_auth(session: Session) -> None:
    mechanisms = await session.server.mechanisms(session.core.tls, session.client.address)
    session.core.answer_hello(mechanisms)


def mail(session: Session, event: Mail) -> None:
    """MAIL: sender policy is looked at in RCPT (smtpd_delay_reject), rates here."""
    server = session.server
    if session.counted and server.limits.message_rate:
        session.later(_mail_within_rate(session, event))
    else:
        _begin(session, event)


async def _mail_within_rate(session: Session, event: Mail) -> None:
    if await _exceeds(session, "message", session.server.limits.message_rate, "Message delivery request rate"):
        session.reject("MAIL", replies.too_much_mail(session.client.address))
    else:
        _begin(session, event)


def _begin(session: Session, event: Mail) -> None:
    session.transaction = Transaction(event, complete(session, event.sender), session.server.clock())
    session.core.answer(replies.SENDER_OK)


def complete(session: Session, address: str) -> str:
    """An address without domain gets $myorigin; the null reverse-path stays."""
    if address and ("@" not in address or address[-1] == '"'):
        return f"{address}@{session.server.origin}"
    return address


def rcpt(session: Session, event: Rcpt) -> None:
    """RCPT: policy, and with the first recipient a place in the queue."""
    server = session.server
    transaction = session.transaction
    assert transaction is not None
    recipient = complete(session, event.recipient)
    verdict = server.lookup.known_recipient(recipient)
    if verdict is None or not session.client.named or (session.counted and server.limits.recipient_rate):
        session.later(_rcpt(session, transaction, event, recipient))
    else:
        _decide(session, transaction, event, recipient, verdict)


async def _rcpt(session: Session, transaction: Transaction, event: Rcpt, recipient: str) -> None:
    await session.name_settled()
    limit = session.server.limits.recipient_rate
    if session.counted and limit and await _exceeds(session, "recipient", limit, "Recipient address rate"):
        session.reject("RCPT", replies.too_many_recipients_from(session.client.address), recipient)
        return
    verdict = await _ask(session, recipient)
    if isinstance(verdict, Reply):
        session.reject("RCPT", verdict, recipient)
    else:
        _decide(session, transaction, event, recipient, verdict)


async def _ask(session: Session, recipient: str) -> RecipientVerdict | Reply:
    try:
        return await session.server.lookup.recipient(recipient)
    except LookupFailed as error:
        log.warning(f"{recipient}: recipient look-up: {error}")
        return replies.lookup_failure(recipient)


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


def _decide(session: Session, transaction: Transaction, event: Rcpt, recipient: str, verdict: RecipientVerdict) -> None:
    refusal = check_recipient(_request(session, recipient, verdict))
    if refusal is not None:
        session.reject("RCPT", refusal, recipient)
        return
    transaction.recipients.append(Recipient(recipient, "", event.orcpt, event.notify))
    if transaction.message is not None:
        session.core.answer(replies.RECIPIENT_OK)
        return
    transaction.message = session.server.cleanup.open_now()
    if transaction.message is not None:
        _opened(session, transaction)
    else:
        session.later(_open(session, transaction))


async def _open(session: Session, transaction: Transaction) -> None:
    try:
        transaction.message = await session.server.cleanup.open()
    except ServiceUnavailable as error:
        log.warning(f"no queue file: {error.reason}")
        recipient = transaction.recipients.pop()
        session.reject("RCPT", replies.WRITE_ERROR, recipient.address)
    else:
        _opened(session, transaction)


def _opened(session: Session, transaction: Transaction) -> None:
    text = f"{transaction.queue_id}: client={session.client.tag}"
    if session.sasl_username:
        text += f", sasl_method={session.sasl_method}, sasl_username={session.sasl_username}"
    log.info(text)
    session.core.answer(replies.RECIPIENT_OK)


async def _exceeds(session: Session, kind: EventKind, limit: int, what: str) -> bool:
    """Count an event; whether it is beyond the limit.  A counter that is away limits nothing."""
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


def data(session: Session, event: Data) -> None:
    """DATA, or the first BDAT."""
    transaction = session.transaction
    assert transaction is not None
    transaction.begin_content(session)
    session.core.answer(replies.START_DATA)


def content(session: Session, event: Content) -> None:
    """A piece of the message: gathered until it is worth a send."""
    transaction = session.transaction
    if transaction is None or transaction.message is None:
        return  # cleanup has failed in the middle; the rest is read and refused at the end
    if transaction.message.gather(event.data):
        session.later(_flush(session, transaction))


async def _flush(session: Session, transaction: Transaction) -> None:
    message = transaction.message
    assert message is not None
    try:
        await message.flush()
    except ServiceUnavailable as error:
        log.warning(f"{message.queue_id}: queue file write error: {error.reason}")
        transaction.abort()


def overflow(session: Session, event: Overflow) -> None:
    """More than message_size_limit: what cleanup has is worthless."""
    transaction = session.transaction
    if transaction is not None:
        log.warning(f"{transaction.queue_id}: queue file size limit exceeded")
        session.refused_id = transaction.queue_id
        transaction.abort()


def end(session: Session, event: End) -> None:
    """The message is complete: 250 only when cleanup has it on disk."""
    session.later(_commit(session, event), must_end=True)


async def _commit(session: Session, event: End) -> None:
    transaction, session.transaction = session.transaction, None
    assert transaction is not None
    message = transaction.message
    reply = replies.WRITE_ERROR
    accepted = False
    if message is not None:
        queue_id = message.queue_id
        try:
            receipt = await message.commit()
        except Rejected as rejection:
            reply = Reply(rejection.code, rejection.enhanced, (replies.printable(rejection.text),))
        except ServiceUnavailable as error:
            log.warning(f"{queue_id}: queue file write error: {error.reason}")
        else:
            accepted = True
            queue_id = receipt.queue_id
            reply = replies.queued_chunks(event.size, queue_id) if event.chunked else replies.queued(queue_id)
    core = session.core
    if not core.waiting:
        return
    if core.profile.lmtp:
        core.answer_recipients(
            [
                replies.recipient_queued(recipient.address, queue_id) if accepted else reply
                for recipient in transaction.recipients
            ]
        )
    else:
        core.answer(reply)


def reset(session: Session, event: Reset) -> None:
    """The transaction is over without a message."""
    transaction, session.transaction = session.transaction, None
    if transaction is not None:
        transaction.abort()


def verify(session: Session, event: Verify) -> None:
    """VRFY: what RCPT would say."""
    session.later(_verify(session, event))


async def _verify(session: Session, event: Verify) -> None:
    text = event.argument.partition(" ")[0] if event.argument[:1] != '"' else event.argument
    try:
        address = parse_path(text if text.startswith("<") else f"<{text}>", allow_bare=True)
    except AddressSyntaxError:
        session.core.answer(replies.BAD_RECIPIENT)
        return
    recipient = complete(session, str(address))
    verdict = await _ask(session, recipient)
    refusal = verdict if isinstance(verdict, Reply) else check_recipient(_request(session, recipient, verdict))
    if refusal is not None:
        session.reject("VRFY", refusal, recipient)
    else:
        session.core.answer(replies.verified(recipient))


def etrn(session: Session, event: Etrn) -> None:
    """ETRN: no domain has a queue run of its own."""
    session.core.answer(replies.etrn_unavailable(event.argument))


def start_tls(session: Session, event: StartTls) -> None:
    """STARTTLS."""
    if session.server.tls is None:
        session.core.answer(replies.TLS_UNAVAILABLE)
    else:
        session.core.answer(replies.READY_FOR_TLS)
        session.start_tls()


def auth(session: Session, event: Auth) -> None:
    """AUTH."""
    session.later(session.authentication.begin(event))


def auth_response(session: Session, event: AuthResponse) -> None:
    """The client's answer to a challenge."""
    session.later(session.authentication.respond(event))


def auth_ended(session: Session, event: AuthEnded) -> None:
    """The exchange is over without an answer."""
    session.authentication.end(event.reason)


def note(session: Session, event: Note) -> None:
    """Something for the log."""
    if event.kind.startswith("reject: "):
        session.log_rejection(event.kind.removeprefix("reject: "), event.text)
    elif event.kind == "non-SMTP command":
        log.warning(f"{event.kind} from {session.client.tag}: {event.text}")
    else:
        log.info(f"{event.kind} from {session.client.tag}: {event.text}")


def close(session: Session, event: Close) -> None:
    """Nothing more is read."""
    session.finish(event.reason)


HANDLERS: Final[Handlers] = {
    Hello: hello,
    Mail: mail,
    Rcpt: rcpt,
    Data: data,
    Content: content,
    Overflow: overflow,
    End: end,
    Reset: reset,
    StartTls: start_tls,
    Auth: auth,
    AuthResponse: auth_response,
    AuthEnded: auth_ended,
    Verify: verify,
    Etrn: etrn,
    Note: note,
    Close: close,
}
