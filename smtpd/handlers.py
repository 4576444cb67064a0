"""What is done with each event of the protocol core: one function per event, found by a table.

What may stand against a command is looked at first (`checks`).  A function answers at once where everything is at hand
(the usual case costs no task), or hands a coroutine to `session.later`.
"""

from __future__ import annotations

from typing import Final

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.clients.lookup import LookupUnavailable
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
    Expand,
    Hello,
    Mail,
    Note,
    Overflow,
    Rcpt,
    Reset,
    StartTls,
    Unknown,
    Verify,
    XClient,
)
from pillarbox.lib.smtp.refusals import temporary_failure
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd import proxy_filter
from pillarbox.smtpd.checks import decide
from pillarbox.smtpd.filtered_message import FilteredMessage
from pillarbox.smtpd.forwarded import forwarded_text
from pillarbox.smtpd.inquiries import complete, etrn, expand, verify
from pillarbox.smtpd.policy.driver import accept, decline
from pillarbox.smtpd.rates import may_start_tls
from pillarbox.smtpd.session import Handlers, Session
from pillarbox.smtpd.submission import Questions
from pillarbox.smtpd.transaction import Transaction


def hello(session: Session, event: Hello) -> None:
    """HELO, EHLO, LHLO: AUTH is announced where it may be used."""
    decide(session, "HELO", event, _greet_back, _refuse_hello)


def _refuse_hello(session: Session, event: Hello, reply: Reply) -> None:
    session.reject(event.verb, reply)


def _greet_back(session: Session, event: Hello) -> None:
    profile = session.server.profile
    if event.verb == "HELO" or not profile.auth or (profile.auth_needs_tls and not session.core.tls):
        session.core.answer_hello((), session.server.clock())
    else:
        session.later(_hello_with_auth(session))


async def _hello_with_auth(session: Session) -> None:
    mechanisms = await session.server.mechanisms(session.core.tls, session.client.address, session.security)
    session.core.answer_hello(mechanisms, session.server.clock())


def mail(session: Session, event: Mail) -> None:
    """MAIL: a transaction begins; the checks see its sender, a refusal ends it."""
    server = session.server
    session.transaction = Transaction(
        event,
        complete(session, event.sender),
        server.clock(),
        filter=server.content_filter,
        sasl_sender=server.submission.asserted_sender(session, event),
    )
    decide(session, "MAIL", event, _take_sender, _refuse_sender)


def _take_sender(session: Session, event: Mail) -> None:
    session.core.answer(replies.SENDER_OK)


def _refuse_sender(session: Session, event: Mail, reply: Reply) -> None:
    session.reject("MAIL", reply)
    session.transaction = None
    _forget(session)


def rcpt(session: Session, event: Rcpt) -> None:
    """RCPT: policy, and with the first recipient a place in the queue."""
    transaction = session.transaction
    assert transaction is not None
    transaction.candidate = complete(session, event.recipient)
    decide(session, "RCPT", event, _take_recipient, _refuse_recipient)


def _refuse_recipient(session: Session, event: Rcpt, reply: Reply) -> None:
    assert session.transaction is not None
    decline(session)
    session.reject("RCPT", reply, session.transaction.candidate)
    milters = session.milters
    if milters is not None and reply.action == "reject" and milters.wants("refused"):
        session.later(milters.refused(event, reply))


def _take_recipient(session: Session, event: Rcpt) -> None:
    transaction = session.transaction
    assert transaction is not None
    transaction.recipients.append(Recipient(transaction.candidate, "", event.orcpt, event.notify))
    if transaction.message is not None:
        accept(session)
        session.core.answer(replies.RECIPIENT_OK)
        return
    intake = session.filter or session.server.cleanup
    transaction.message = intake.open_now()
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
        decline(session)
        session.reject("RCPT", replies.WRITE_ERROR, recipient.address)
    else:
        _opened(session, transaction)


def _opened(session: Session, transaction: Transaction) -> None:
    accept(session)
    text = f"{transaction.queue_id}: client={session.client.tag}"
    if session.sasl_username:
        text += f", sasl_method={session.sasl_method}, sasl_username={session.sasl_username}"
    if transaction.sasl_sender:
        text += f", sasl_sender={transaction.sasl_sender}"
    if forwarded := session.core.transaction.forwarded:
        text += forwarded_text(forwarded)
    log.info(text)
    session.core.answer(replies.RECIPIENT_OK)


def data(session: Session, event: Data) -> None:
    """DATA, or the first BDAT."""
    decide(session, "DATA", event, _take_content, _refuse_content)


def _refuse_content(session: Session, event: Data, reply: Reply) -> None:
    decline(session)
    session.reject("BDAT" if event.chunked else "DATA", reply)


def _take_content(session: Session, event: Data) -> None:
    transaction = session.transaction
    assert transaction is not None
    questions = session.server.submission.questions(session)
    if questions:
        session.later(_find_listed(session, transaction, questions))
        return
    accept(session)
    transaction.begin_content(session)
    session.core.answer(replies.START_DATA)


async def _find_listed(session: Session, transaction: Transaction, questions: Questions) -> None:
    """Whether the client's headers are rewritten, then the content."""
    try:
        for tables, keys in questions:
            found = await session.server.lookup.access(tables, keys, [False] * len(keys))
            transaction.listed = transaction.listed or found is not None
    except LookupUnavailable as error:
        log.warning(f"{transaction.queue_id}: local_header_rewrite_clients: {error.reason}")
        decline(session)
        session.reject("DATA", temporary_failure(session.client.tag))
        return
    accept(session)
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
        transaction.abort()


def end(session: Session, event: End) -> None:
    """The message is complete: 250 only when cleanup has it on disk."""
    decide(session, "END-OF-MESSAGE", event, _take_message, _refuse_message)


def _refuse_message(session: Session, event: End, reply: Reply) -> None:
    text = str(reply) if reply.action == "reject" else f"{reply.enhanced} {reply.text}".strip()
    session.log_decision(reply.action, "END-OF-MESSAGE", text)
    transaction, session.transaction = session.transaction, None
    assert transaction is not None
    transaction.abort()
    _forget(session)
    _answer_message(session, transaction, [reply] * len(transaction.recipients))


def _take_message(session: Session, event: End) -> None:
    accept(session, complete=True)
    session.later(_commit(session, event), must_end=True)


async def _commit(session: Session, event: End) -> None:
    transaction, session.transaction = session.transaction, None
    assert transaction is not None
    _forget(session)
    message = transaction.message
    if isinstance(message, FilteredMessage):
        reply = await proxy_filter.finish(session, transaction, message)
        _answer_message(session, transaction, [reply] * len(transaction.recipients))
        return
    reply = replies.WRITE_ERROR
    accepted = False
    if message is not None:
        queue_id = message.queue_id
        try:
            receipt = await message.commit(transaction.edits)
        except Rejected as rejection:
            reply = Reply(rejection.code, rejection.enhanced, (replies.printable(rejection.text),))
        except ServiceUnavailable as error:
            log.warning(f"{queue_id}: queue file write error: {error.reason}")
        else:
            accepted = True
            queue_id = receipt.queue_id
            reply = replies.queued_chunks(event.size, queue_id) if event.chunked else replies.queued(queue_id)
    if accepted and session.core.profile.lmtp:
        each = [replies.recipient_queued(recipient.address, queue_id) for recipient in transaction.recipients]
    else:
        each = [reply] * len(transaction.recipients)
    _answer_message(session, transaction, each)


def _answer_message(session: Session, transaction: Transaction, each: list[Reply]) -> None:
    """Answer `End`: LMTP clients wait for one reply per recipient (RFC 2033 section 4.2)."""
    core = session.core
    if not core.waiting:
        return
    if core.profile.lmtp:
        core.answer_recipients(each)
    else:
        core.answer(each[0])


def reset(session: Session, event: Reset) -> None:
    """The transaction is over without a message."""
    transaction, session.transaction = session.transaction, None
    if transaction is not None:
        transaction.abort()
    _forget(session)


def _forget(session: Session) -> None:
    """The milters, if any, need not wait for more of this message."""
    if session.milters is not None:
        session.milters.abort()


def unknown(session: Session, event: Unknown) -> None:
    """A command that does not exist, where somebody wants to know of it."""
    decide(session, "UNKNOWN", event, _not_recognized, _refuse_unknown)


def _not_recognized(session: Session, event: Unknown) -> None:
    session.core.answer(replies.NOT_RECOGNIZED)


def _refuse_unknown(session: Session, event: Unknown, reply: Reply) -> None:
    session.reject("UNKNOWN", reply)


def xclient(session: Session, event: XClient) -> None:
    """XCLIENT."""
    session.impersonate(event)


def start_tls(session: Session, event: StartTls) -> None:
    """STARTTLS."""
    if session.server.tls is None:
        session.core.answer(replies.TLS_UNAVAILABLE)
    elif session.counted and session.server.limits.tls_rate:
        session.later(_start_tls_within_rate(session))
    else:
        _start_tls(session)


async def _start_tls_within_rate(session: Session) -> None:
    refusal = await may_start_tls(session)
    if refusal is not None:
        session.core.answer(refusal)
    else:
        _start_tls(session)


def _start_tls(session: Session) -> None:
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
    Expand: expand,
    Etrn: etrn,
    XClient: xclient,
    Unknown: unknown,
    Note: note,
    Close: close,
}
