"""Every reply of the server, named once; the texts are Postfix's, because people and programs know them.

A constant is a reply that is always the same.  A function makes one from its parts: `host` is our own name, `text`
must be printable (`printable` makes it so).  Every text that the server says stands here; a test checks that basic
and enhanced code agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pillarbox.lib.smtp.reply import Reply

_of = Reply.of
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

TEXT_LIMIT: Final = 480
"""Longest text taken over from elsewhere into one reply line: RFC 5321 section 4.5.3.1.5 allows a line 512 octets."""


def printable(text: str) -> str:
    """Text from outside, fit for a reply line: unprintable characters become `?`, and it is not too long."""
    if text.isascii() and text.isprintable() and len(text) <= TEXT_LIMIT:
        return text
    return _UNPRINTABLE.sub("?", text).encode()[:TEXT_LIMIT].decode("utf-8", "ignore")


def softened(reply: Reply) -> Reply:
    """A permanent refusal as a temporary one (soft_bounce); others as they are."""
    if reply.code < 500:
        return reply
    return Reply(reply.code - 100, f"4{reply.enhanced[1:]}" if reply.enhanced else "", reply.lines)


# --- done
OK: Final = _of("250 2.0.0 Ok")
SENDER_OK: Final = _of("250 2.1.0 Ok")
RECIPIENT_OK: Final = _of("250 2.1.5 Ok")
START_DATA: Final = _of("354 End data with <CR><LF>.<CR><LF>")
BYE: Final = _of("221 2.0.0 Bye")
READY_FOR_TLS: Final = _of("220 2.0.0 Ready to start TLS")
AUTHENTICATED: Final = _of("235 2.7.0 Authentication successful")
QUEUING_STARTED: Final = _of("250 2.0.0 Queuing started")


def help_verbs(verbs: Sequence[str]) -> Reply:
    """HELP: what may be said."""
    return Reply(214, "2.0.0", ("Commands:", *(" ".join(verbs[i : i + 9]) for i in range(0, len(verbs), 9))))


def help_topic(lines: tuple[str, ...]) -> Reply:
    """HELP with a verb."""
    return Reply(214, "2.0.0", lines)


def greeting(text: str) -> Reply:
    """The first line of a session; `text` begins with our host name."""
    return Reply(220, "", (text,))


def hello(host: str) -> Reply:
    """The answer to HELO."""
    return Reply(250, "", (host,))


def extensions(host: str, keywords: tuple[str, ...]) -> Reply:
    """The answer to EHLO and LHLO."""
    return Reply(250, "", (host, *keywords))


def queued(queue_id: str) -> Reply:
    """The message is ours."""
    return Reply(250, "2.0.0", (f"Ok: queued as {queue_id}",))


def queued_chunks(size: int, queue_id: str) -> Reply:
    """The same after the last BDAT."""
    return Reply(250, "2.0.0", (f"Ok: {size} bytes queued as {queue_id}",))


def chunk_taken(size: int) -> Reply:
    """A BDAT chunk that is not the last (RFC 3030 section 2)."""
    return Reply(250, "2.0.0", (f"Ok: {size} bytes",))


def recipient_queued(address: str, queue_id: str) -> Reply:
    """LMTP: the message is ours for this recipient (RFC 2033 section 4.2)."""
    return Reply(250, "2.0.0", (printable(f"<{address}> Ok: queued as {queue_id}"),))


def verified(address: str) -> Reply:
    """VRFY of an address that would be accepted."""
    return Reply(252, "2.0.0", (printable(address),))


def challenge(base64: str) -> Reply:
    """A SASL challenge, as base64."""
    return Reply(334, "", (base64,))


# --- syntax
NOT_RECOGNIZED: Final = _of("500 5.5.2 Error: command not recognized")
BAD_SYNTAX: Final = _of("500 5.5.2 Error: bad syntax")
BAD_UTF8: Final = _of("500 5.5.2 Error: bad UTF-8 syntax")
NOT_IMPLEMENTED: Final = _of("502 5.5.1 Error: command not implemented")
VRFY_DISABLED: Final = _of("502 5.5.1 VRFY command is disabled")
SYNTAX_HELO: Final = _of("501 5.5.4 Syntax: HELO hostname")
SYNTAX_EHLO: Final = _of("501 5.5.4 Syntax: EHLO hostname")
SYNTAX_LHLO: Final = _of("501 5.5.4 Syntax: LHLO hostname")
SYNTAX_MAIL: Final = _of("501 5.5.4 Syntax: MAIL FROM:<address>")
SYNTAX_RCPT: Final = _of("501 5.5.4 Syntax: RCPT TO:<address>")
SYNTAX_DATA: Final = _of("501 5.5.4 Syntax: DATA")
SYNTAX_BDAT: Final = _of("521 5.5.4 Syntax: BDAT count [LAST]")
SYNTAX_RSET: Final = _of("501 5.5.4 Syntax: RSET")
SYNTAX_STARTTLS: Final = _of("501 5.5.4 Syntax: STARTTLS")
SYNTAX_AUTH: Final = _of("501 5.5.4 Syntax: AUTH mechanism")
SYNTAX_VRFY: Final = _of("501 5.5.4 Syntax: VRFY address")
SYNTAX_ETRN: Final = _of("500 5.5.4 Syntax: ETRN domain")
BAD_SENDER: Final = _of("501 5.1.7 Bad sender address syntax")
BAD_RECIPIENT: Final = _of("501 5.1.3 Bad recipient address syntax")
SENDER_NEEDS_SMTPUTF8: Final = _of("550 5.6.7 Error: a non-ASCII sender address needs the SMTPUTF8 option")
RECIPIENT_NEEDS_SMTPUTF8: Final = _of("553 5.6.7 Error: a non-ASCII recipient address needs the SMTPUTF8 option")
BAD_SIZE: Final = _of("501 5.5.4 Bad message size syntax")
BAD_BODY: Final = _of("501 5.5.4 Error: Bad BODY parameter syntax")
BAD_RET: Final = _of("501 5.5.4 Error: Bad RET parameter syntax")
BAD_ENVID: Final = _of("501 5.5.4 Error: Bad ENVID parameter syntax")
BAD_NOTIFY: Final = _of("501 5.5.4 Error: Bad NOTIFY parameter syntax")
BAD_ORCPT: Final = _of("501 5.5.4 Error: Bad ORCPT parameter syntax")
BAD_AUTH: Final = _of("501 5.5.4 Error: Bad AUTH parameter syntax")
BAD_SMTPUTF8: Final = _of("501 5.5.4 Error: Bad SMTPUTF8 parameter syntax")
BODY_UNKNOWN: Final = _of("501 5.5.4 Error: BODY must be 7BIT, 8BITMIME or BINARYMIME")
BODY_NOT_BINARY: Final = _of("501 5.5.4 Error: BODY must be 7BIT or 8BITMIME")
BAD_REQUIRETLS: Final = _of("501 5.5.4 Error: Bad REQUIRETLS parameter syntax")
XVERP_NEEDS_SENDER: Final = _of("503 5.5.4 Error: XVERP requires non-null sender")
BAD_BY: Final = _of("501 5.5.4 Error: Bad BY parameter syntax")
BY_NOT_POSITIVE: Final = _of("501 5.5.4 Error: BY with mode R needs a time above zero")
BAD_HOLDFOR: Final = _of("501 5.5.4 Error: Bad HOLDFOR parameter syntax")
BAD_HOLDUNTIL: Final = _of("501 5.5.4 Error: Bad HOLDUNTIL parameter syntax")
HELD_TWICE: Final = _of("501 5.5.4 Error: HOLDFOR and HOLDUNTIL exclude each other")
HELD_PAST_DEADLINE: Final = _of("501 5.5.4 Error: the time in BY is over before the message is released")
SYNTAX_EXPN: Final = _of("501 5.5.4 Syntax: EXPN alias")
BAD_ETRN: Final = _of("501 5.5.4 Error: invalid parameter syntax")
ATTRIBUTE_VALUE_EXPECTED: Final = _of("501 5.5.4 Error: attribute=value expected")
ATTRIBUTE_VALUE_TOO_LONG: Final = _of("501 5.5.4 Error: attribute value too long")
UNKNOWN_TOPIC: Final = _of("504 5.5.4 HELP topic unknown")


def verp_delimiters(allowed: str) -> Reply:
    """XVERP with delimiters that may not be asked for."""
    return Reply(501, "5.5.4", (f"Error: XVERP needs two characters from {allowed}",))


def held_too_long(seconds: int) -> Reply:
    """HOLDFOR or HOLDUNTIL beyond what was announced (RFC 4865 section 4)."""
    return Reply(501, "5.5.4", (f"Error: a message is held for {seconds} seconds at most",))


def by_too_short(seconds: int) -> Reply:
    """BY with mode R and less time than the announced minimum (RFC 2852 section 4)."""
    return Reply(555, "5.5.4", (f"Error: BY with mode R needs at least {seconds} seconds",))


def attributes_syntax(command: str) -> Reply:
    """XCLIENT or XFORWARD alone."""
    return Reply(501, "5.5.4", (f"Syntax: {command} attribute=value...",))


def bad_attribute_name(command: str, name: str) -> Reply:
    """An attribute that XCLIENT or XFORWARD does not have."""
    return Reply(501, "5.5.4", (printable(f"Bad {command} attribute name: {name}"),))


def bad_attribute_value(name: str, value: str) -> Reply:
    """A value that the attribute cannot have."""
    return Reply(501, "5.5.4", (printable(f"Bad {name} syntax: {value}"),))


def unsupported(option: str) -> Reply:
    """An ESMTP parameter that was not offered (RFC 5321 section 4.1.1.11)."""
    return Reply(555, "5.5.4", (printable(f"Unsupported option: {option}"),))


def repeated(option: str) -> Reply:
    """An ESMTP parameter that came twice."""
    return Reply(501, "5.5.4", (printable(f"Error: duplicate option: {option}"),))


def too_long(host: str) -> Reply:
    """A command line beyond the limit (RFC 5321 section 4.5.3.1.9)."""
    return Reply(500, "5.5.2", (f"{host} Error: command too long",))


def bare_line_feed(host: str, code: int = 550) -> Reply:
    """smtpd_forbid_bare_newline = reject; 521 ends the session as well."""
    return Reply(code, f"{code // 100}.5.2", (f"{host} Error: bare <LF> received",))


# --- sequence
SEND_HELLO: Final = _of("503 5.5.1 Error: send HELO/EHLO first")
SEND_LHLO: Final = _of("503 5.5.1 Error: send LHLO first")
NESTED_MAIL: Final = _of("503 5.5.1 Error: nested MAIL command")
NEED_MAIL: Final = _of("503 5.5.1 Error: need MAIL command")
NEED_RCPT: Final = _of("503 5.5.1 Error: need RCPT command")
IN_TRANSACTION: Final = _of("503 5.5.1 Error: MAIL transaction in progress")
DATA_AFTER_BDAT: Final = _of("503 5.5.1 Error: DATA after BDAT")
RCPT_AFTER_BDAT: Final = _of("503 5.5.1 Error: RCPT after BDAT")
BINARY_DATA: Final = _of("503 5.5.1 Error: BODY=BINARYMIME needs BDAT")
NO_VALID_RECIPIENTS: Final = _of("554 5.5.1 Error: no valid recipients")
IMPROPER_PIPELINING: Final = _of("554 5.5.0 Error: SMTP protocol synchronization")

# --- authentication and TLS
TLS_ACTIVE: Final = _of("554 5.5.1 Error: TLS already active")
TLS_UNAVAILABLE: Final = _of("454 4.7.0 TLS not available due to local problem")
TLS_REQUIRED: Final = _of("530 5.7.0 Must issue a STARTTLS command first")
REQUIRETLS_NEEDS_TLS: Final = _of("530 5.7.10 Error: REQUIRETLS needs a session with TLS")
AUTH_NOT_ENABLED: Final = _of("503 5.5.1 Error: authentication not enabled")
ALREADY_AUTHENTICATED: Final = _of("503 5.5.1 Error: already authenticated")
AUTH_NEEDS_TLS: Final = _of("538 5.7.11 Encryption required for requested authentication mechanism")
AUTH_ABORTED: Final = _of("501 5.7.0 Authentication aborted")
AUTH_LINE_TOO_LONG: Final = _of("500 5.5.6 Authentication exchange line is too long")
AUTH_BAD_BASE64: Final = _of("501 5.5.2 Error: authentication failed: malformed base64 data")
AUTH_UNKNOWN_MECHANISM: Final = _of("504 5.5.4 Error: authentication mechanism not supported")


def auth_failed(reason: str) -> Reply:
    """Wrong credentials."""
    detail = "" if reason in ("", "authentication failed") else f": {reason}"
    return Reply(535, "5.7.8", (printable(f"Error: authentication failed{detail}"),))


def auth_malformed(reason: str) -> Reply:
    """A response that breaks the mechanism's grammar."""
    return Reply(501, "5.5.2", (printable(f"Error: authentication failed: {reason}"),))


def auth_temporary(reason: str) -> Reply:
    """Nobody can tell now."""
    return Reply(454, "4.7.0", (printable(f"Temporary authentication failure: {reason}"),))


# --- limits and trouble
TOO_MANY_RECIPIENTS: Final = _of("452 4.5.3 Error: too many recipients")
TOO_MANY_DOMAINS: Final = _of("452 4.5.3 Error: too many recipient domains")
SIZE_EXCEEDS: Final = _of("552 5.3.4 Message size exceeds fixed limit")
TOO_BIG: Final = _of("552 5.3.4 Error: message file too big")
INSUFFICIENT_STORAGE: Final = _of("452 4.3.1 Insufficient system storage")
WRITE_ERROR: Final = _of("451 4.3.0 Error: queue file write error")


def turned_away(client: str) -> Reply:
    """Any command of a client that was turned away in place of a greeting (RFC 5321 section 3.1)."""
    return Reply(503, "5.7.0", (printable(f"Error: access denied for {client}"),))


def too_many_errors(host: str) -> Reply:
    """smtpd_hard_error_limit was reached."""
    return Reply(421, "4.7.0", (f"{host} Error: too many errors",))


def too_many_messages(host: str) -> Reply:
    """smtpd_session_message_limit was reached (MAILMAX of RFC 9422)."""
    return Reply(421, "4.7.0", (f"{host} Error: too many messages in one session",))


def timed_out(host: str) -> Reply:
    """The client was silent for smtpd_timeout."""
    return Reply(421, "4.4.2", (f"{host} Error: timeout exceeded",))


def stopping(host: str) -> Reply:
    """The service is stopping (RFC 5321 section 3.8)."""
    return Reply(421, "4.3.2", (f"{host} Service shutting down, try again later",))


def server_error(host: str) -> Reply:
    """A fault of ours."""
    return Reply(421, "4.3.0", (f"{host} Server local error",))


def too_many_connections(host: str, address: str) -> Reply:
    """smtpd_client_connection_count_limit."""
    return Reply(421, "4.7.0", (f"{host} Error: too many connections from {address}",))


def too_much_mail(address: str) -> Reply:
    """smtpd_client_message_rate_limit."""
    return Reply(450, "4.7.1", (f"Error: too much mail from {address}",))


def too_many_recipients_from(address: str) -> Reply:
    """smtpd_client_recipient_rate_limit."""
    return Reply(450, "4.7.1", (f"Error: too many recipients from {address}",))


def too_many_auth(address: str) -> Reply:
    """smtpd_client_auth_rate_limit."""
    return Reply(450, "4.7.1", (f"Error: too many AUTH commands from {address}",))


def too_many_tls_sessions(address: str) -> Reply:
    """smtpd_client_new_tls_session_rate_limit, at STARTTLS."""
    return Reply(454, "4.7.0", (f"Error: too many new TLS sessions from {address}",))


def tls_sessions_too_fast(host: str, address: str) -> Reply:
    """The same after the handshake."""
    return Reply(421, "4.7.0", (f"{host} Error: too many new TLS sessions from {address}",))


# --- tests before the greeting (postscreen(8)), greylisting
PROTOCOL_ERROR: Final = _of("550 5.5.1 Protocol error")
PROTOCOL_ERROR_DROP: Final = _of("521 5.5.1 Protocol error")
SERVICE_UNAVAILABLE: Final = _of("550 5.3.2 Service currently unavailable")
SERVICE_UNAVAILABLE_DROP: Final = _of("521 5.3.2 Service currently unavailable")


def blocked(code: int, address: str, name: str) -> Reply:
    """A client that lists in the DNS hold (smtpd_dnsbl_action); `name` is the list's."""
    return Reply(code, "5.7.1", (printable(f"Service unavailable; client [{address}] blocked using {name}"),))


def greylisted(recipient: str, seconds: int) -> Reply:
    """Mail that has to come back (smtpd_greylisting)."""
    text = f"<{recipient}>: Recipient address rejected: Greylisted, try again in {seconds} seconds"
    return Reply(450, "4.2.0", (printable(text),))


# --- policy
def lookup_failure(what: str) -> Reply:
    """A table could not be asked."""
    return Reply(451, "4.3.0", (printable(f"<{what}>: Temporary lookup failure"),))


NOT_AUTHORIZED: Final = _of("550 5.7.0 Error: insufficient authorization")
UNABLE_TO_QUEUE: Final = _of("458 4.3.0 Unable to queue messages")


def no_alias(address: str) -> Reply:
    """EXPN of a name that stands for nothing else."""
    return Reply(550, "5.1.1", (printable(f"<{address}>: not an alias"),))


def expanded(addresses: Sequence[str]) -> Reply:
    """EXPN: what an alias stands for."""
    return Reply(250, "2.0.0", tuple(printable(f"<{address}>") for address in addresses))


def etrn_unavailable(domain: str) -> Reply:
    """ETRN for a domain that no queue run is made for."""
    return Reply(459, "4.7.0", (printable(f"<{domain}>: service unavailable"),))


# --- abuse
NOT_SMTP: Final = _of("221 2.7.0 Error: I can break rules, too. Goodbye.")
