"""How a server session reads: commands, the answers to AUTH challenges, or nothing.

A reader is a function that uses input and returns True, or returns False where more is needed; `ServerSession.read` is
the one whose turn it is.  `receiving` has those of content.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pillarbox.lib.sasl.wire import RESPONSE_LIMIT, SaslAborted, SaslSyntaxError, decode_response
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.commands import AUTH_LINE_LIMIT, refusing_chunk
from pillarbox.lib.smtp.events import AuthEnded, AuthResponse, Unknown
from pillarbox.lib.smtp.input import OVERLONG
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.verbs import BEFORE_TLS, JUNK, LAST_IN_GROUP

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ABORTED: Final = "aborted by the client"
"""Why an exchange ended at which the client said `*`."""
_QUOTE_LIMIT: Final = 100  # octets of the client's input in a note for the log


def read_nothing(session: ServerSession) -> bool:
    """During a TLS handshake, and after the end."""
    return False


def read_command(session: ServerSession) -> bool:
    """One command line."""
    source = session.input
    buffer, start = source.buffer, source.start
    if start >= len(buffer):
        return False
    profile = session.profile
    if session.output and session.tarpit:
        return False
    first = buffer[start]
    limit = profile.command_limit
    if (first == 65 or first == 97) and buffer[start : start + 5].upper() == b"AUTH ":
        limit = max(limit, AUTH_LINE_LIMIT)
    if first < 32 and first not in b"\t\r\n" and not source.skipping:
        # A TLS handshake or another protocol's binary greeting: no need to wait for a line end, it may never come.
        _break_rules(session, buffer[start:])
        return True
    line = source.line(limit)
    if line is None:
        return False
    if session.conversation is not None:
        session.conversation.received(line if line != OVERLONG else b"[too long]")
    if line == OVERLONG:
        _unknown(session, replies.too_long(profile.host))
    elif line[-1:] == b"\r":
        _command(session, line[:-1])
    elif profile.bare_newline == "reject":
        _unknown(session, replies.bare_line_feed(profile.host, profile.bare_newline_code))
    else:
        if profile.bare_newline == "note":
            session.note("bare <LF> received in a command", _quoted(line))
        _command(session, line)
    return True


def _command(session: ServerSession, line: bytes) -> None:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        _unreadable(session, line, replies.BAD_UTF8)
        return
    if not text.isprintable():
        text = text.replace("\t", " ")
        if _CONTROL.search(text):
            _unreadable(session, line, replies.BAD_SYNTAX)
            return
    verb, _, argument = text.partition(" ")
    verb = verb.upper()
    entry = session.table[session.transaction.state].get(verb)
    if entry is None:
        _no_verb(session, verb, line, text)
        return
    session.where = verb
    profile = session.profile
    if (
        profile.forbid_pipelining
        and session.input.start < len(session.input.buffer)
        and (verb in LAST_IN_GROUP or session.introduction.protocol == "SMTP")
        and verb != "STARTTLS"
    ):
        out_of_turn(session)
        return
    session.count(verb)
    if verb in JUNK:
        session.count_junk()
    if profile.tls_required and not session.tls and verb not in BEFORE_TLS:
        entry = replies.TLS_REQUIRED if verb != "BDAT" else refusing_chunk(replies.TLS_REQUIRED)
    if isinstance(entry, Reply):
        session.reply(entry)
    else:
        entry(session, argument.strip(" "))


def _no_verb(session: ServerSession, verb: str, line: bytes, text: str) -> None:
    if not verb:
        _unknown(session, replies.BAD_SYNTAX)
    elif verb in session.profile.forbidden or not verb[0].isalpha() or not verb.isascii():
        _break_rules(session, line)
    elif session.profile.asks_unknown:
        session.where = "UNKNOWN"
        session.count("UNKNOWN")
        session.ask(Unknown(text))
    else:
        _unknown(session, replies.NOT_RECOGNIZED)


def _unreadable(session: ServerSession, line: bytes, reply: Reply) -> None:
    if line[:1].isalpha():
        _unknown(session, reply)
    else:
        _break_rules(session, line)


def _unknown(session: ServerSession, reply: Reply) -> None:
    session.where = "UNKNOWN"
    session.count("UNKNOWN")
    session.reply(reply)


def _break_rules(session: ServerSession, line: bytes) -> None:
    """Not SMTP at all: a web browser made to speak to us, TLS on the wrong port."""
    session.where = "UNKNOWN"
    session.count("UNKNOWN")
    session.note("non-SMTP command", _quoted(line))
    session.output.append(session.said(replies.NOT_SMTP))
    session.close("")


def out_of_turn(session: ServerSession) -> None:
    """The client has not waited where it must (RFC 5321 section 3.1, RFC 2920 section 3.1): the session ends."""
    session.note(f"improper command pipelining after {session.where}", _quoted(session.input.rest()))
    session.output.append(session.said(replies.IMPROPER_PIPELINING))
    session.errors += 1
    session.close("")


def read_response(session: ServerSession) -> bool:
    """The answer to a SASL challenge (RFC 4954 section 4)."""
    if not session.input:
        return False
    line = session.input.line(AUTH_LINE_LIMIT)
    if line is None:
        return False
    if session.conversation is not None:
        session.conversation.received_secret()
    try:
        response = decode_response(line.removesuffix(b"\r"))
    except SaslAborted:
        _end_auth(session, replies.AUTH_ABORTED, ABORTED)
    except SaslSyntaxError as error:
        # RFC 4954 section 6 has a code of its own for a line that is too long.
        too_long = line == OVERLONG or len(line) > RESPONSE_LIMIT
        _end_auth(session, replies.AUTH_LINE_TOO_LONG if too_long else replies.AUTH_BAD_BASE64, str(error))
    else:
        session.ask(AuthResponse(response))
    return True


def _end_auth(session: ServerSession, reply: Reply, reason: str) -> None:
    session.read = read_command
    session.events.append(AuthEnded(reason))
    session.reply(reply)


def _quoted(data: bytes) -> str:
    return data[:_QUOTE_LIMIT].decode("utf-8", "replace")
