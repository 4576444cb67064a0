"""The refusals of access policy, named once: texts and enhanced status codes are Postfix's (postconf(5), access(5)).

Codes that the configuration sets are arguments; the enhanced status code follows the class of the reply code.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.lib.smtp.replies import printable
from pillarbox.lib.smtp.reply import Reply

_STATUS: Final = re.compile(r"([245])(\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|\Z)")

# What is looked at, in the words of replies.
CLIENT: Final = "Client host"
UNVERIFIED_CLIENT: Final = "Unverified Client host"
CERTIFICATE: Final = "Client certificate"
LOGIN: Final = "SASL login name"
HELO: Final = "Helo command"
SENDER: Final = "Sender address"
RECIPIENT: Final = "Recipient address"
ETRN: Final = "Etrn command"
DATA: Final = "Data command"
END_OF_DATA: Final = "End-of-data"

# Why.
ACCESS_DENIED: Final = "Access denied"
TRY_LATER: Final = "Try again later"
UNAVAILABLE: Final = "Service unavailable"
INVALID_NAME: Final = "Invalid name"
INVALID_ADDRESS: Final = "invalid ip address"
HOST_NOT_FOUND: Final = "Host not found"
DOMAIN_NOT_FOUND: Final = "Domain not found"
NOT_LOGGED_IN: Final = "not logged in"
NEED_HOSTNAME: Final = "need fully-qualified hostname"
NEED_ADDRESS: Final = "need fully-qualified address"
PIPELINING: Final = "Improper use of SMTP command pipelining"
SEVERAL_RECIPIENTS: Final = "Multi-recipient bounce"
VERIFICATION_PROBLEM: Final = "address verification problem"
DEFER_IF_PERMIT: Final = "defer_if_permit requested"
DEFER_IF_REJECT: Final = "defer_if_reject requested"


def refusal(code: int, enhanced: str, text: str) -> Reply:
    """A refusal; the class of `enhanced` is made that of `code`."""
    return Reply(code, f"{code // 100}{enhanced[1:]}", (printable(text),))


def rejected(code: int, enhanced: str, name: str, what: str, why: str) -> Reply:
    """`<NAME>: WHAT rejected: WHY`."""
    return refusal(code, enhanced, f"<{name}>: {what} rejected: {why}")


def split_status(text: str, default: str) -> tuple[str, str]:
    """An enhanced status code that a text begins with, and the rest; `default` where there is none."""
    match = _STATUS.match(text)
    return (match[1] + match[2], text[match.end() :]) if match else (default, text)


def temporary_failure(name: str) -> Reply:
    """A table could not be asked: nobody is refused for good because of that."""
    return refusal(451, "4.3.0", f"<{name}>: Temporary lookup failure")


CONFIGURATION: Final = Reply(451, "4.3.5", ("Server configuration error",))
"""A table says something that makes no sense, or must not be said there."""

NO_ENCRYPTION: Final = "Session encryption is required"


def relay_denied(code: int, recipient: str) -> Reply:
    """reject_unauth_destination, defer_unauth_destination."""
    return refusal(code, "5.7.1", f"<{recipient}>: Relay access denied")


def unknown_client(code: int, address: str) -> Reply:
    """reject_unknown_client_hostname (RFC 7372 section 3.2)."""
    return refusal(code, "5.7.25", f"Client host rejected: cannot find your hostname, [{address}]")


def unknown_reverse_client(code: int, address: str) -> Reply:
    """reject_unknown_reverse_client_hostname."""
    return refusal(code, "5.7.1", f"Client host rejected: cannot find your reverse hostname, [{address}]")


def no_mail_accepted(name: str, what: str, domain: str) -> Reply:
    """A domain with a null MX record (RFC 7505 section 4): 550 5.7.27 for senders, 556 5.1.10 for recipients."""
    code, enhanced = (550, "5.7.27") if what == SENDER else (556, "5.1.10")
    return rejected(code, enhanced, name, what, f"Domain {domain} does not accept mail (nullMX)")


def mailbox_full(name: str, why: str, *, temporary: bool) -> Reply:
    """A mailbox without room for the message: 552 5.2.2 (RFC 3463 section 3.3), 452 4.2.2 where it may come again."""
    return rejected(452 if temporary else 552, "5.2.2", name, RECIPIENT, f"mailbox is full: {why}")


def not_owned(sender: str, user: str) -> Reply:
    """reject_authenticated_sender_login_mismatch."""
    return rejected(553, "5.7.1", sender, SENDER, f"not owned by user {user}")
