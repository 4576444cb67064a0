"""Parameters of ManageSieve."""

from __future__ import annotations

import re

from pillarbox.lib.config.parameter import Raw, declare, joined, seconds

MANAGESIEVE_SESSION_TIMEOUT = seconds(
    "managesieve_session_timeout",
    "1800s",
    "How long a client may say nothing after it has logged in; RFC 5804 section 1.2 demands at least thirty minutes.",
)

_SERVER = re.compile(r"sieve://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?")


def _server(raw: Raw) -> str:
    value = joined(raw).strip()
    if value and not _SERVER.fullmatch(value):
        raise ValueError('"sieve://HOST" or "sieve://HOST:PORT" was expected')
    return value


MANAGESIEVE_REFERRAL = declare(
    "managesieve_referral",
    "",
    """The server that has the scripts of accounts whose mail is elsewhere (mail_location imap://HOST/), as
    sieve://HOST[:PORT]; clients are referred there once they have logged in. Empty: HOST of mail_location.""",
    "text",
    _server,
)
