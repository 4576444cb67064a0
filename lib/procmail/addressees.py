"""The words that stand for long expressions: `^TO_`, `^TO`, `^FROM_DAEMON`, `^FROM_MAILER` (procmailrc(5)).

`^TO_` precedes an address, `^TO` a word, in any field that names recipients.  The other two match mail that no person
has written: of daemons and lists, and of mailers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_RECIPIENT_FIELDS: Final = "^((Original-)?(Resent-)?(To|Cc|Bcc)|(X-Envelope|Apparently(-Resent)?)-To):"

_MAILER_NAMES: Final = (
    "Post(ma(st(er)?|n)|office)",
    "(send)?Mail(er)?",
    "daemon",
    "mmdf",
    "n?uucp",
    "ops",
    "response",
    "root",
    "(bbs\\.)?smtp(error)?",
    "serv(ices?|er)",
    "system",
    "A(dmin(istrator)?|MMGR)",
)
"""Local parts of mail systems and those who run them."""

_DAEMON_NAMES: Final = (
    "Post(ma?(st(e?r)?|n)|office)",
    "(send)?Mail(er)?",
    "daemon",
    "mmdf",
    "majordomo",
    "n?uucp",
    "LIST(SERV|proc)",
    "NETSERV",
    "owner",
    "ops",
    "request",
    "response",
    "root",
    "bounce",
    "bbs\\.smtp",
    "echo",
    "mirror",
    "serv(ices?|er)",
    "smtp(error)?",
    "system",
    "A(dmin(istrator)?|MMGR|utoanswer)",
)
"""Those, and of list servers and other programs."""

_DAEMON_FIELDS: Final = ("Mailing-List:", "Precedence:.*(junk|bulk|list)", "To: Multiple recipients of ")


def _any(alternatives: Iterable[str]) -> str:
    return "(" + "|".join(alternatives) + ")"


def _sent_by(names: Iterable[str]) -> str:
    """A sender's field, perhaps the beginning of an address, one of the names as a whole word, and the rest of it."""
    field = "(((Resent-)?(From|Sender)|X-Envelope-From):|>?From )"
    before = "([^>]*[^(.%@a-z0-9])?"
    behind = "(([^).!:a-z0-9][-_a-z0-9]*)?[%@>\t ][^<)]*(\\(.*\\).*)?)?$([^>]|$)"
    return field + before + _any(names) + behind


MACROS: Final = (
    ("^TO_", f"({_RECIPIENT_FIELDS}(.*[^-a-zA-Z0-9_.])?)"),
    ("^TO", f"({_RECIPIENT_FIELDS}(.*[^a-zA-Z])?)"),
    ("^FROM_DAEMON", f"(^{_any((*_DAEMON_FIELDS, _sent_by(_DAEMON_NAMES)))})"),
    ("^FROM_MAILER", f"(^{_any((_sent_by(_MAILER_NAMES),))})"),
)
"""Each word and what it stands for, in the order in which they are replaced."""
