"""What HELP says (RFC 5321 section 4.1.1.8): the verbs that this session may use now, or how one of them is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.lib.smtp.verbs import BEFORE_TLS

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession

TOPICS: Final[dict[str, tuple[str, ...]]] = {
    "HELO": ("HELO hostname", "Introduce yourself (RFC 5321)."),
    "EHLO": ("EHLO hostname", "Introduce yourself, and learn which extensions there are (RFC 5321)."),
    "LHLO": ("LHLO hostname", "Introduce yourself, and learn which extensions there are (RFC 2033)."),
    "STARTTLS": ("STARTTLS", "Begin TLS (RFC 3207)."),
    "AUTH": ("AUTH mechanism [initial-response]", "Prove who you are (RFC 4954)."),
    "MAIL": ("MAIL FROM:<sender> [parameters]", "Begin a message (RFC 5321). EHLO says which parameters there are."),
    "RCPT": ("RCPT TO:<recipient> [parameters]", "Name a recipient of the message (RFC 5321)."),
    "DATA": ("DATA", "Send the message; end it with a line that has a dot alone (RFC 5321)."),
    "BDAT": ("BDAT size [LAST]", "Send size octets of the message (RFC 3030)."),
    "RSET": ("RSET", "Forget sender, recipients and message (RFC 5321)."),
    "NOOP": ("NOOP", "Do nothing (RFC 5321)."),
    "VRFY": ("VRFY recipient", "Ask whether mail would be taken for a recipient (RFC 5321)."),
    "EXPN": ("EXPN alias", "Ask which addresses an alias stands for (RFC 5321)."),
    "ETRN": ("ETRN domain", "Have the mail that waits for a domain sent now (RFC 1985)."),
    "XCLIENT": ("XCLIENT attribute=value...", "Say for whom you speak; the session begins anew."),
    "XFORWARD": ("XFORWARD attribute=value...", "Say where the next message came from."),
    "HELP": ("HELP [command]", "Get this help (RFC 5321)."),
    "QUIT": ("QUIT", "End the session (RFC 5321)."),
}
"""How each verb is written, and what it does."""


def usable_verbs(session: ServerSession) -> list[str]:
    """The verbs that would not be refused whatever their argument, at their proper time."""
    profile = session.profile
    usable = {
        "STARTTLS": profile.tls and profile.offers("STARTTLS") and not session.tls,
        "AUTH": profile.auth
        and profile.offers("AUTH")
        and not session.authenticated
        and (session.tls or not profile.auth_needs_tls),
        "BDAT": profile.offers("CHUNKING"),
        "VRFY": profile.verify,
        "ETRN": profile.etrn,
        "EXPN": "EXPN" in session.granted,
        "XCLIENT": "XCLIENT" in session.granted,
        "XFORWARD": "XFORWARD" in session.granted,
    }
    verbs = session.table[session.transaction.state]
    behind_tls = profile.tls_required and not session.tls
    return [
        verb for verb in TOPICS if verb in verbs and usable.get(verb, True) and (not behind_tls or verb in BEFORE_TLS)
    ]
