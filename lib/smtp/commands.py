"""The verbs: one small function each, called where the table of `states` allows the verb.

A function replies, or asks the driver by an event; it never does both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pillarbox.lib.sasl.wire import RESPONSE_LIMIT, SaslAborted, SaslSyntaxError, decode_initial
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Auth, Data, Etrn, Hello, Mail, Rcpt, StartTls, Verify
from pillarbox.lib.smtp.grammar import parse_mail, parse_rcpt
from pillarbox.lib.smtp.lifetimes import Chunk
from pillarbox.lib.smtp.receiving import announce_chunk
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession

# bdat-cmd = "BDAT" SP chunk-size [SP "LAST"]; chunk-size = 1*DIGIT (RFC 3030 section 2)
_BDAT: Final = re.compile(r"([0-9]{1,15})(?: +(LAST))? *", re.IGNORECASE | re.ASCII)
# sasl-mech = 1*20(UPPER-ALPHA / DIGIT / HYPHEN / UNDERSCORE) (RFC 4422 section 3.1)
_MECHANISM: Final = re.compile(r"[A-Za-z0-9_\-]{1,20}", re.ASCII)


def _hello(session: ServerSession, verb: str, argument: str, syntax: Reply) -> None:
    name = argument.strip()
    if not name:
        session.reply(syntax)
        return
    # RFC 5321 section 4.1.4: HELO and EHLO in a session do what RSET does.
    session.leave_transaction()
    session.ask(Hello(verb, name))


def helo(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.1."""
    _hello(session, "HELO", argument, replies.SYNTAX_HELO)


def ehlo(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.1."""
    _hello(session, "EHLO", argument, replies.SYNTAX_EHLO)


def lhlo(session: ServerSession, argument: str) -> None:
    """RFC 2033 section 4.1."""
    _hello(session, "LHLO", argument, replies.SYNTAX_LHLO)


def mail(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.2."""
    profile = session.profile
    if not session.helo_name and (profile.helo_required or profile.lmtp):
        session.reply(replies.SEND_LHLO if profile.lmtp else replies.SEND_HELLO)
        return
    event = parse_mail(
        argument,
        dsn=profile.offers("DSN"),
        smtputf8=profile.smtputf8 and profile.offers("SMTPUTF8"),
        auth=profile.auth,
        strict=profile.strict,
    )
    if type(event) is Mail:
        if event.size > profile.size_limit > 0:
            session.note("reject: MAIL", str(replies.SIZE_EXCEEDS))
            session.reply(replies.SIZE_EXCEEDS)
        else:
            session.ask(event)
    elif type(event) is Reply:
        session.reply(event)


def rcpt(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.3."""
    profile = session.profile
    event = parse_rcpt(argument, dsn=profile.offers("DSN"), smtputf8=session.smtputf8, strict=profile.strict)
    if type(event) is Rcpt:
        transaction = session.transaction
        if transaction.recipients >= profile.recipient_limit > 0:
            # A client with more recipients than fit is not at fault: it sends the rest in another transaction.
            transaction.overshoot += 1
            session.reply(replies.TOO_MANY_RECIPIENTS, excused=transaction.overshoot <= profile.recipient_overshoot)
        else:
            session.ask(event)
    elif type(event) is Reply:
        session.reply(event)


def data(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.4."""
    if argument:
        session.reply(replies.SYNTAX_DATA)
    else:
        session.ask(Data(chunked=False))


def bdat(session: ServerSession, argument: str) -> None:
    """RFC 3030 section 2."""
    _chunk(session, argument, None)


def refusing_chunk(reply: Reply) -> Callable[[ServerSession, str], None]:
    """BDAT out of place: the octets that follow are no commands, so they are read before the refusal is given."""

    def refuse(session: ServerSession, argument: str) -> None:
        _chunk(session, argument, reply)

    return refuse


def _chunk(session: ServerSession, argument: str, refusal: Reply | None) -> None:
    match = _BDAT.fullmatch(argument)
    if match is None:
        # Nobody can say where the next command begins.
        session.reply(replies.SYNTAX_BDAT)
    elif not session.profile.offers("CHUNKING"):
        announce_chunk(session, Chunk(int(match[1]), bool(match[2]), replies.NOT_IMPLEMENTED))
    else:
        announce_chunk(session, Chunk(int(match[1]), bool(match[2]), refusal))


def rset(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.5."""
    if argument:
        session.reply(replies.SYNTAX_RSET)
        return
    session.leave_transaction()
    session.reply(replies.OK)


def noop(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.9; the argument is ignored."""
    session.reply(replies.OK)


def quit_(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.10."""
    session.leave_transaction()
    session.reply(replies.BYE)
    session.close("")


def help_(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.8."""
    session.reply(replies.HELP_LMTP if session.profile.lmtp else replies.HELP)


def vrfy(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.6."""
    if not session.profile.verify:
        session.reply(replies.VRFY_DISABLED)
    elif not argument:
        session.reply(replies.SYNTAX_VRFY)
    else:
        session.ask(Verify(argument))


def etrn(session: ServerSession, argument: str) -> None:
    """RFC 1985."""
    if not session.profile.etrn:
        session.reply(replies.NOT_IMPLEMENTED)
    elif not argument or " " in argument:
        session.reply(replies.SYNTAX_ETRN)
    else:
        session.ask(Etrn(argument))


def starttls(session: ServerSession, argument: str) -> None:
    """RFC 3207."""
    if session.tls:
        session.reply(replies.TLS_ACTIVE)
    elif not session.profile.tls or not session.profile.offers("STARTTLS"):
        session.reply(replies.NOT_IMPLEMENTED)
    elif argument:
        session.reply(replies.SYNTAX_STARTTLS)
    else:
        session.ask(StartTls())


def auth(session: ServerSession, argument: str) -> None:
    """RFC 4954 section 4."""
    profile = session.profile
    mechanism, _, initial = argument.partition(" ")
    initial = initial.strip()
    if not profile.auth or not profile.offers("AUTH"):
        session.reply(replies.AUTH_NOT_ENABLED)
    elif not session.helo_name:
        session.reply(replies.SEND_LHLO if profile.lmtp else replies.SEND_HELLO)
    elif session.authenticated:
        session.reply(replies.ALREADY_AUTHENTICATED)
    elif profile.auth_needs_tls and not session.tls:
        session.reply(replies.AUTH_NEEDS_TLS)
    elif not _MECHANISM.fullmatch(mechanism) or " " in initial:
        session.reply(replies.SYNTAX_AUTH)
    else:
        try:
            response = decode_initial(initial.encode()) if initial else None
        except (SaslSyntaxError, SaslAborted):
            session.reply(replies.AUTH_BAD_BASE64)
        else:
            session.ask(Auth(mechanism.upper(), response))


AUTH_LINE_LIMIT: Final = RESPONSE_LIMIT + 64
"""Octets of an AUTH command with its initial response (RFC 4954 section 4.3 puts no lower limit on it)."""
