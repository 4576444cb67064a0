"""What well-known servers and our own programs say, and what it means for a person.

Servers give 5.7.1 for a forged sender, a blocked address and a full mailbox alike; only their words tell.  Each row is
an expression for such words, in the order in which they are tried, and the reason in plain words.  Named groups of an
expression can be used in the reason, beside `{domain}`.
"""

from __future__ import annotations

import re

from pillarbox.lib.message.dsn.reasons import (
    ASK,
    CHECK,
    HELP,
    OTHER_ADDRESS,
    OWN_SERVER,
    REASONS,
    SMALLER,
    WAIT,
    Reason,
)

_BLOCKED = Reason(
    "The receiving server takes no mail from the machine that sends for you: it is on a block list.",
    "You can do nothing about it yourself. Show this report to the people who run your mail system: they can have it "
    "taken off the list.",
)
_SPAM = Reason(
    "The receiving server takes the message for spam.",
    "Reach the recipient another way. Fewer links and attachments may help, and so may being in the recipient's "
    "address book.",
)
_UNKNOWN = REASONS["1.1"]
_FULL = REASONS["2.2"]
_GREY = Reason(
    "The receiving server asks senders that it does not know to come again later, and did so each time.", ASK
)
_RATE = Reason(
    "The receiving server takes no more mail from this system for the moment.",
    "Wait for some hours, then send the message again. It is nothing about your message.",
)


def _row(expression: str, reason: Reason) -> tuple[re.Pattern[str], Reason]:
    return re.compile(expression, re.IGNORECASE), reason


ROWS: tuple[tuple[re.Pattern[str], Reason], ...] = (
    # --- our own words
    _row(
        r"message size (?P<size>\d{1,18}) exceeds size limit (?P<limit>\d{1,18}) of server",
        Reason("The message has {size} bytes; the receiving server takes at most {limit}.", SMALLER),
    ),
    _row(
        r"Domain not found|Name service error for name=\S{1,300} type=\S{1,10}: Host not found|"
        r"Host or domain name not found",
        Reason("The domain {domain} does not exist.", CHECK),
    ),
    _row(r"does not accept mail \(nullMX\)|null ?mx", REASONS["1.10"]),
    _row(
        r"loops back to myself",
        Reason("The domain {domain} points at this mail system, which does not serve it.", HELP),
    ),
    _row(r"mail forwarding loop|too many hops|hop count exceeded|hopcount|routing loop", REASONS["4.6"]),
    _row(r"delivery time expired", Reason("The message could not be delivered by the time that you had set.", WAIT)),
    _row(
        r"SMTPUTF8 is required, but was not offered",
        Reason("The receiving server takes no addresses with letters beyond ASCII.", OTHER_ADDRESS),
    ),
    _row(r"REQUIRETLS", REASONS["7.30"]),
    _row(
        r"TLS is required, but|STARTTLS is required|must issue a STARTTLS|certificate (?:verification|not trusted)|"
        r"Server certificate|Cannot start TLS|encryption (?:required|needed)|requires? TLS",
        REASONS["7.10"],
    ),
    # --- the mailbox
    _row(
        r"over ?quota|quota (?:\w+ )?exceed|exceed\w* (?:\w+ ){0,3}quota|mailbox (?:is )?full|out of storage|"
        r"insufficient (?:\w+ )?(?:disk )?(?:space|storage)|not enough (?:disk )?space|inbox is full",
        _FULL,
    ),
    _row(
        r"(?:account|mailbox|user|recipient) (?:\w+ ){0,3}(?:disabled|inactive|suspended|deactivated|closed|locked)|"
        r"(?:disabled|inactive|suspended) (?:account|mailbox|user)",
        REASONS["2.1"],
    ),
    # --- forged, blocked, spam: before "user unknown", because these texts mention users too
    _row(r"greylist|graylist|grey-?listing|try again (?:later|in \d)", _GREY),
    _row(r"\bSPF\b", REASONS["7.23"]),
    _row(r"\bDMARC\b", Reason("The message failed the checks against forged senders (DMARC).", OWN_SERVER)),
    _row(r"\bDKIM\b", REASONS["7.20"]),
    _row(r"unauthenticated|not authenticated|authentication (?:check|information|results)", REASONS["7.26"]),
    _row(r"reverse (?:DNS|hostname|lookup)|\bPTR\b|\brDNS\b|HELO|EHLO", REASONS["7.25"]),
    _row(
        r"spamhaus|\bdnsbl\b|\brbl\b|black-?list|block-?list|deny-?list|barracuda|sorbs|spamcop|uceprotect|senderscore|"
        r"\b(?:poor|bad|low|ip) reputation|blocked using|listed (?:at|on|in|by) |\bS3150\b|banned sending IP",
        _BLOCKED,
    ),
    _row(r"virus|malware|infected", Reason("The receiving server found a virus in the message.", HELP)),
    _row(
        r"(?:attachment|file (?:name|type)|executable|extension)\b.{0,60}\b(?:not allowed|blocked|prohibited|banned)|"
        r"(?:blocked|banned|prohibited) (?:attachment|file|extension)",
        Reason("The receiving server does not take this kind of attachment.", "Send a link to the file instead."),
    ),
    _row(r"\bspam\b|\bspammy\b|unsolicited|\bUBE\b|\bUCE\b|\bbulk mail\b|junk mail", _SPAM),
    _row(
        r"rate limit|too many (?:messages|connections|emails|requests|concurrent)|throttl|mail flood|"
        r"sending limit|deferred due to|temporarily (?:deferred|rate)",
        _RATE,
    ),
    # --- size and number
    _row(
        r"(?:message|mail|content|file|data|size) (?:\w+ ){0,3}(?:too (?:big|large|long)|exceed|larger than)|"
        r"exceed\w* (?:\w+ ){0,4}(?:message )?size|size limit|too (?:big|large)\b",
        REASONS["3.4"],
    ),
    _row(r"too many recipients|recipients? limit", REASONS["5.3"]),
    # --- relaying
    _row(
        r"relay(?:ing)? (?:\w+ )?(?:access )?(?:is )?(?:denied|prohibited|not permitted|not allowed)|unable to relay|"
        r"not (?:permitted|allowed) to relay|cannot relay|we do not relay|relay not permitted",
        Reason(
            "The server that receives the mail of {domain} says that it is not responsible for it.",
            "Check the domain of the address. If it is right, tell the recipient by another way: the mail of the "
            "domain is set up wrongly.",
        ),
    ),
    # --- the name
    _row(
        r"(?:user|recipient|mailbox|address|account)[^.;]{0,60}"
        r"(?:unknown|not found|does(?: not|n't) exist|unavailable|invalid|not exist|rejected: undeliverable)|"
        r"(?:unknown|no such|invalid|nonexistent|non-existent) (?:\w+ )?(?:user|recipient|mailbox|address|person)|"
        r"not a valid (?:mailbox|recipient|user)|no mailbox here|not our customer|user doesn't have",
        _UNKNOWN,
    ),
    _row(
        r"sender (?:\w+ ){0,3}(?:rejected|denied|refused|not allowed|blocked)",
        Reason("The receiving server does not accept your sender address.", ASK),
    ),
    _row(
        r"lost connection|timed out|timeout|Connection (?:refused|reset)|No route to host|unreachable", REASONS["4.1"]
    ),
)

DECISIVE = re.compile(r"[245]\.(?:1\.[12346]|1\.10|2\.[1234]|5\.3|7\.(?:1[0-9]|2[0-9]|30|8|9))")
"""Codes that say exactly what they mean; with others the words decide.  4.4.x is our own, and X.7.1 says nothing."""
