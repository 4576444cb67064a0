"""What CAPABILITY lists (RFC 9051 section 7.2.2): only what works."""

from __future__ import annotations

from typing import Final

BEFORE_LOGIN: Final = ("IMAP4rev1", "SASL-IR", "LITERAL+", "ID", "ENABLE", "IDLE")
"""As Dovecot does: a client learns early what the session will have."""

SESSION: Final = (
    "IMAP4rev1",
    "SASL-IR",
    "LITERAL+",
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "UNSELECT",
    "UIDPLUS",
    "MOVE",
    "MULTIAPPEND",
    "ESEARCH",
    "WITHIN",
)


def session_capabilities() -> str:
    """The capabilities of a session, as in the response."""
    return " ".join(SESSION)


def login_capabilities(*, tls_offered: bool, mechanisms: tuple[str, ...]) -> str:
    """The capabilities before login; LOGINDISABLED where no password may be sent (RFC 3501 section 6.2.3)."""
    words = [*BEFORE_LOGIN]
    if tls_offered:
        words.append("STARTTLS")
    words += [f"AUTH={name.upper()}" for name in mechanisms]
    if "PLAIN" not in mechanisms and "LOGIN" not in mechanisms:
        words.append("LOGINDISABLED")
    return " ".join(words)
