"""The verbs: one small function each, called where the table of `states` allows the verb.

A function replies, or asks the driver by an event; it never does both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pillarbox.lib.address.verp import good_delimiters
from pillarbox.lib.sasl.wire import RESPONSE_LIMIT, SaslAborted, SaslSyntaxError, decode_initial
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client_attributes import XCLIENT, XFORWARD, parse_attributes
from pillarbox.lib.smtp.events import Auth, Data, Etrn, Expand, Hello, Mail, Rcpt, StartTls, Verify, XClient
from pillarbox.lib.smtp.grammar import parse_mail, parse_rcpt
from pillarbox.lib.smtp.help_texts import TOPICS, usable_verbs
from pillarbox.lib.smtp.lifetimes import Chunk
from pillarbox.lib.smtp.receiving import announce_chunk
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession

# bdat-cmd = "BDAT" SP chunk-size [SP "LAST"]; chunk-size = 1*DIGIT (RFC 3030 section 2)
_BDAT: Final = re.compile(r"([0-9]{1,15})(?: +(LAST))? *", re.IGNORECASE | re.ASCII)
# A domain or address literal, as far as syntax can tell.
_SITE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[A-Za-z0-9:.]{2,60}\]", re.ASCII)
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
    if session.messages >= profile.mail_limit > 0:
        reply = replies.too_many_messages(profile.host)
        session.note("reject: MAIL", str(reply))
        session.reply(reply)
        return
    event = parse_mail(argument, offered=profile.mail_parameters, strict=profile.strict)
    if isinstance(event, Reply):
        session.reply(event)
    elif event.size > profile.size_limit > 0:
        session.note("reject: MAIL", str(replies.SIZE_EXCEEDS))
        session.reply(replies.SIZE_EXCEEDS)
    elif event.body == "binarymime" and not profile.binary:
        session.reply(replies.BODY_NOT_BINARY)
    elif event.requiretls and not session.tls:
        # RFC 8689 section 3: the parameter is for sessions with TLS only.
        session.reply(replies.REQUIRETLS_NEEDS_TLS)
    elif event.verp is not None and (refusal := _refused_verp(session, event)) is not None:
        session.reply(refusal)
    elif event.hold_for > profile.hold_limit:
        session.reply(replies.held_too_long(profile.hold_limit))
    elif event.by_mode[:1] == "R" and event.by < (profile.deliver_by or 0):
        session.reply(replies.by_too_short(profile.deliver_by or 0))
    else:
        session.ask(event)


def _refused_verp(session: ServerSession, event: Mail) -> Reply | None:
    """Put the delimiters that hold into the event, or refuse XVERP."""
    profile = session.profile
    if "XVERP" not in session.granted or not profile.offers("XVERP"):
        return replies.unsupported(f"XVERP={event.verp}" if event.verp else "XVERP")
    if not event.sender:
        return replies.XVERP_NEEDS_SENDER
    event.verp = event.verp or profile.verp_delimiters
    return None if good_delimiters(event.verp, profile.verp_allowed) else replies.verp_delimiters(profile.verp_allowed)


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
        elif profile.domain_limit and not session.has_room_for(event.domain):
            transaction.overshoot += 1
            session.reply(replies.TOO_MANY_DOMAINS, excused=transaction.overshoot <= profile.recipient_overshoot)
        else:
            session.ask(event)
    elif type(event) is Reply:
        session.reply(event)


def data(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.4."""
    if argument:
        session.reply(replies.SYNTAX_DATA)
    elif session.transaction.binary:
        # RFC 3030 section 3: lines could not be told from content.
        session.reply(replies.BINARY_DATA)
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
    verbs = usable_verbs(session)
    topic = argument.upper()
    if not topic:
        session.reply(replies.help_verbs(verbs))
    elif topic in verbs:
        session.reply(replies.help_topic(TOPICS[topic]))
    else:
        session.reply(replies.UNKNOWN_TOPIC)


def vrfy(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.6."""
    if not session.profile.verify:
        session.reply(replies.VRFY_DISABLED)
    elif not argument:
        session.reply(replies.SYNTAX_VRFY)
    else:
        session.ask(Verify(argument))


def expn(session: ServerSession, argument: str) -> None:
    """RFC 5321 section 4.1.1.7."""
    if "EXPN" not in session.granted:
        session.reply(replies.NOT_IMPLEMENTED)
    elif not argument:
        session.reply(replies.SYNTAX_EXPN)
    else:
        session.ask(Expand(argument))


def etrn(session: ServerSession, argument: str) -> None:
    """RFC 1985; the option characters "@" and "#" change nothing, as in Postfix."""
    profile = session.profile
    domain = argument.removeprefix("@").removeprefix("#") if argument[:1] in "@#" else argument
    if not profile.etrn or not profile.offers("ETRN"):
        session.reply(replies.NOT_IMPLEMENTED)
    elif profile.helo_required and not session.helo_name:
        session.reply(replies.SEND_HELLO)
    elif not argument or " " in argument:
        session.reply(replies.SYNTAX_ETRN)
    elif not _SITE.fullmatch(domain):
        session.reply(replies.BAD_ETRN)
    else:
        session.ask(Etrn(domain.lower()))


def xclient(session: ServerSession, argument: str) -> None:
    """Postfix's XCLIENT_README."""
    if "XCLIENT" not in session.granted:
        session.reply(replies.NOT_AUTHORIZED)
        return
    attributes = parse_attributes("XCLIENT", argument, XCLIENT)
    if isinstance(attributes, Reply):
        session.reply(attributes)
    else:
        session.ask(XClient(attributes))


def xforward(session: ServerSession, argument: str) -> None:
    """Postfix's XFORWARD_README: attributes may come in several commands, and hold for the next message."""
    if "XFORWARD" not in session.granted:
        session.reply(replies.NOT_AUTHORIZED)
        return
    attributes = parse_attributes("XFORWARD", argument, XFORWARD)
    if isinstance(attributes, Reply):
        session.reply(attributes)
    else:
        transaction = session.transaction
        transaction.forwarded = {**(transaction.forwarded or {}), **attributes}
        session.reply(replies.OK)


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
