"""What the driver's answer to an event makes of the session: one function per kind of event, found by a table.

A function returns True where it has given the reply itself, or none is to be given yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.lib.smtp.client_attributes import known
from pillarbox.lib.smtp.events import Auth, AuthResponse, Data, End, Mail, Rcpt, StartTls, XClient
from pillarbox.lib.smtp.lifetimes import State, Transaction
from pillarbox.lib.smtp.reading import read_command, read_nothing, read_response
from pillarbox.lib.smtp.receiving import begin_chunks, begin_data
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession


def _after_mail(session: ServerSession, event: Mail, reply: Reply) -> bool:
    if not reply.failed:
        session.messages += 1
        session.transaction = Transaction(
            State.MAIL, event.smtputf8, event.body == "binarymime", forwarded=session.transaction.forwarded
        )
    return False


def _after_rcpt(session: ServerSession, event: Rcpt, reply: Reply) -> bool:
    if not reply.failed:
        session.transaction.state = State.RCPT
        session.transaction.recipients += 1
        if session.profile.domain_limit:
            session.domains.add(event.domain)
    return False


def _after_data(session: ServerSession, event: Data, reply: Reply) -> bool:
    if event.chunked:
        begin_chunks(session, reply if reply.failed else None)
        return True
    if reply.code == 354:
        begin_data(session)
        session.output.append(session.said(reply))
        return True
    return False


def _after_end(session: ServerSession, event: End, reply: Reply) -> bool:
    session.leave_transaction(silently=True)
    if reply.failed:
        return False
    session.reply(reply)
    session.message_taken()
    return True


def _after_starttls(session: ServerSession, event: StartTls, reply: Reply) -> bool:
    if reply.failed:
        return False
    session.reply(reply)
    # RFC 3207 section 4.2: nothing that was said in clear text counts any longer, nor what was sent behind STARTTLS.
    session.input.clear()
    session.read = read_nothing
    session.leave_transaction()
    session.introduce_anew()
    return True


def _after_xclient(session: ServerSession, event: XClient, reply: Reply) -> bool:
    if not reply.failed:
        attributes = event.attributes
        session.leave_transaction()
        session.introduce_anew(
            "" if session.profile.lmtp else known(attributes, "PROTO"),
            known(attributes, "HELO"),
            authenticated=bool(known(attributes, "LOGIN")),
        )
    return False


def _after_auth(session: ServerSession, event: Auth | AuthResponse, reply: Reply) -> bool:
    session.read = read_response if reply.code == 334 else read_command
    if reply.code < 300:
        session.introduction.authenticated = True
    return False


TRANSITIONS: Final[dict[type, Callable[[ServerSession, Any, Reply], bool]]] = {
    Mail: _after_mail,
    Rcpt: _after_rcpt,
    Data: _after_data,
    End: _after_end,
    StartTls: _after_starttls,
    Auth: _after_auth,
    AuthResponse: _after_auth,
    XClient: _after_xclient,
}
"""What is not here has no consequence but the reply."""
