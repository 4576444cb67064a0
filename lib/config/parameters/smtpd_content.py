"""Parameters of what the SMTP server does about content: line ends, room for it, and a filter before the queue."""

from __future__ import annotations

from pillarbox.lib.config.filter_endpoint import Endpoint
from pillarbox.lib.config.parameter import Raw, choice, declare, integer, joined, seconds, size, text, words

# --- line ends (SMTP smuggling)
SMTPD_FORBID_BARE_NEWLINE = choice(
    "smtpd_forbid_bare_newline",
    "normalize",
    """What to do with a line that ends in LF without CR. normalize (or yes): take it as a line end, but only CRLF.CRLF
    ends a message; note: the same, and say so in the log; reject: refuse command or message; no: a line end everywhere,
    which lets messages be smuggled.""",
    ("normalize", "yes", "note", "reject", "no"),
)
SMTPD_FORBID_BARE_NEWLINE_EXCLUSIONS = words(
    "smtpd_forbid_bare_newline_exclusions",
    "",
    """Clients (networks) that smtpd_forbid_bare_newline does not concern, as if it were no. Empty unlike Postfix's
    $mynetworks: a content filter that hands mail in again is a client there too, and what a stranger has hidden in a
    message would become a second one.""",
)
SMTPD_FORBID_BARE_NEWLINE_REJECT_CODE = integer(
    "smtpd_forbid_bare_newline_reject_code",
    "550",
    "The reply code of smtpd_forbid_bare_newline = reject; 521 ends the session.",
    minimum=400,
    maximum=599,
)

# --- room
QUEUE_MINFREE = size(
    "queue_minfree",
    "0",
    """The least room, in bytes, that the queue's file system must have for a message to be taken; 1.5 times
    message_size_limit is demanded in any case.""",
)

# --- a filter before the queue


def _endpoint(raw: Raw) -> str:
    address = joined(raw)
    if address:
        Endpoint.parse(address)
    return address


SMTPD_PROXY_FILTER = declare(
    "smtpd_proxy_filter",
    "",
    """The SMTP filter, as host:port, inet:host:port or unix:path, that sees every message before it is taken, and hands
    it in again on another port; its answer is the client's. host is an IP address or localhost.""",
    "text",
    _endpoint,
)
SMTPD_PROXY_EHLO = text("smtpd_proxy_ehlo", "$myhostname", "How we introduce ourselves to smtpd_proxy_filter.")
SMTPD_PROXY_TIMEOUT = seconds(
    "smtpd_proxy_timeout",
    "100s",
    "How long to wait for a connection to smtpd_proxy_filter, and for each of its replies.",
)
SMTPD_PROXY_OPTIONS = words(
    "smtpd_proxy_options",
    "",
    """speed_adjust: talk to smtpd_proxy_filter only when a message has come in whole, from a temporary file, so that a
    slow client does not occupy it.""",
    options=("speed_adjust",),
)
