"""The one table of what each verb does in each state of a server session.

An entry is a function of `commands`, or the reply that the verb gets there; a verb without an entry is not recognized.
Whatever ends a transaction goes through `ServerSession.leave_transaction`, so that no path leaves old state behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from pillarbox.lib.smtp import commands, replies
from pillarbox.lib.smtp.lifetimes import State
from pillarbox.lib.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.lib.smtp.server import ServerSession


class Command(Protocol):
    """A function of `commands`."""

    def __call__(self, session: ServerSession, argument: str, /) -> None: ...


Entry: TypeAlias = Command | Reply

_ANYWHERE: Final[dict[str, Entry]] = {
    "HELO": commands.helo,
    "EHLO": commands.ehlo,
    "RSET": commands.rset,
    "NOOP": commands.noop,
    "QUIT": commands.quit_,
    "HELP": commands.help_,
    "VRFY": commands.vrfy,
    "EXPN": commands.expn,
    "TURN": replies.NOT_IMPLEMENTED,
    "SEND": replies.NOT_IMPLEMENTED,
    "SOML": replies.NOT_IMPLEMENTED,
    "SAML": replies.NOT_IMPLEMENTED,
}
_BETWEEN: Final[dict[str, Entry]] = {
    **_ANYWHERE,
    "STARTTLS": commands.starttls,
    "AUTH": commands.auth,
    "ETRN": commands.etrn,
    "XCLIENT": commands.xclient,
    "XFORWARD": commands.xforward,
    "MAIL": commands.mail,
    "RCPT": replies.NEED_MAIL,
    "DATA": replies.NEED_RCPT,
    "BDAT": commands.refusing_chunk(replies.NEED_RCPT),
}
_INSIDE: Final[dict[str, Entry]] = {
    **_ANYWHERE,
    "STARTTLS": replies.IN_TRANSACTION,
    "AUTH": replies.IN_TRANSACTION,
    "ETRN": replies.IN_TRANSACTION,
    "XCLIENT": replies.IN_TRANSACTION,
    "XFORWARD": replies.IN_TRANSACTION,
    "MAIL": replies.NESTED_MAIL,
}

TABLE: Final[dict[State, dict[str, Entry]]] = {
    State.IDLE: _BETWEEN,
    State.MAIL: {
        **_INSIDE,
        "RCPT": commands.rcpt,
        "DATA": replies.NO_VALID_RECIPIENTS,
        "BDAT": commands.refusing_chunk(replies.NO_VALID_RECIPIENTS),
    },
    State.RCPT: {**_INSIDE, "RCPT": commands.rcpt, "DATA": commands.data, "BDAT": commands.bdat},
    State.CHUNKS: {
        **_INSIDE,
        "RCPT": replies.RCPT_AFTER_BDAT,
        "DATA": replies.DATA_AFTER_BDAT,
        "BDAT": commands.bdat,
    },
}
"""SMTP and ESMTP (RFC 5321)."""


def _lmtp(entries: dict[str, Entry]) -> dict[str, Entry]:
    """RFC 2033 section 4.1: LHLO in place of HELO and EHLO, which must be refused; no ETRN."""
    table = {verb: entry for verb, entry in entries.items() if verb not in ("HELO", "EHLO", "ETRN")}
    return {**table, "LHLO": commands.lhlo}


LMTP_TABLE: Final[dict[State, dict[str, Entry]]] = {state: _lmtp(entries) for state, entries in TABLE.items()}


def refusing_table(reply: Reply) -> dict[State, dict[str, Entry]]:
    """What verbs do where the client was turned away in place of a greeting: QUIT is obeyed (RFC 5321 section 3.1)."""
    entries: dict[str, Entry] = dict.fromkeys((*_BETWEEN, "LHLO"), reply)
    return {State.IDLE: {**entries, "BDAT": commands.refusing_chunk(reply), "QUIT": commands.quit_}}
