"""Parameters of POP3."""

from __future__ import annotations

import re

from pillarbox.lib.config.parameter import Parameter, Raw, boolean, declare, joined, seconds

POP3_SESSION_TIMEOUT = seconds(
    "pop3_session_timeout",
    "600s",
    "How long a client may say nothing after it has logged in; RFC 1939 section 3 demands at least ten minutes.",
)
POP3_NO_FLAG_UPDATES = boolean(
    "pop3_no_flag_updates", "no", "Do not set the flag Seen on messages that a POP3 client has retrieved."
)

POP3_LOGIN_DELAY = seconds(
    "pop3_login_delay",
    "0s",
    """The least time between two logins of one user by POP3 (RFC 2449 section 6.5), announced as LOGIN-DELAY; who comes
    earlier is told to wait. 0: none.""",
)


def _expire(raw: Raw) -> int | None:
    text = joined(raw).lower()
    if text == "never":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise ValueError('"never" or a number of days was expected')
    return int(text)


POP3_EXPIRE: Parameter[int | None] = declare(
    "pop3_expire",
    "never",
    """For how many days messages stay that a POP3 client has retrieved and not deleted, counted from their arrival
    (RFC 2449 section 6.7, announced as EXPIRE): a session that ends with QUIT removes those that are Seen and older; 0:
    all that it has retrieved. never: they stay.""",
    "days",
    _expire,
)


def _uidl_format(raw: Raw) -> str:
    """Dovecot's variables: the UID and UIDVALIDITY."""
    text = joined(raw)
    rest = _VARIABLE.sub("", text)
    if not text.isascii() or not text.isprintable() or "%" in rest or " " in rest:
        raise ValueError("characters and the variables %u and %v were expected, as in %08Xu%08Xv")
    if "u" not in {found[0][-1] for found in _VARIABLE.finditer(text)}:
        raise ValueError("%u was expected in it: unique-ids must differ")
    if len(_VARIABLE.sub(lambda found: "0" * max(10, int(found[1] or 0)), text)) > UIDL_LIMIT:
        raise ValueError(f"the unique-ids would be longer than {UIDL_LIMIT} characters")
    return text


_VARIABLE = re.compile(r"%(?:0?([0-9]{1,2}))?X?[uv]")
UIDL_LIMIT = 70
"""RFC 1939 section 7."""

POP3_UIDL_FORMAT = declare(
    "pop3_uidl_format",
    "%08Xu%08Xv",
    """How POP3's unique-ids are made of a message's UID (%u) and the mailbox's UIDVALIDITY (%v), so that clients of a
    former server know their messages: Dovecot %08Xu%08Xv, Courier UID%u-%v, UW %08Xv%08Xu, Cyrus %v.%u. Those that are
    written down in the mailbox (dovecot-uidlist, courierpop3dsizelist) go first.""",
    "text",
    _uidl_format,
)
