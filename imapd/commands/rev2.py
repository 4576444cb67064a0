"""IMAP4rev2 beside IMAP4rev1 (RFC 9051 appendices A and E), and UTF8=ACCEPT (RFC 6855): what enabling them changes.

Where the two revisions differ a module asks `Session.enabled`; here is what belongs to no command of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.imapd.commands.list import Lister, Listing, Row, list_line
from pillarbox.imapd.protocol import response
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MailboxEntry


def selected_line(session: Session, name: str) -> bytes:
    """The LIST that SELECT has in IMAP4rev2 (section 6.3.2)."""
    return list_line(session, b"LIST", Lister(session, Listing("", ())).row(name))


def normalized_lines(session: Session, command: str, names: list[tuple[str, str]]) -> list[bytes]:
    """LIST with OLDNAME, for names that are stored in another form than the client gave (section 6.3.9.7).

    `names` are those of the command, as given and as stored; RENAME has two.
    """
    if command not in ("CREATE", "DELETE", "EXAMINE", "RENAME", "SELECT"):
        return []
    if all(given == name for given, name in names):
        return []
    given, name = names[0][0], names[-1][1]
    attributes = (b"\\NonExistent",) if command == "DELETE" else ()
    row = list_line(session, b"LIST", Row(MailboxEntry(name), attributes))
    old = response.parenthesized((b'"OLDNAME"', response.parenthesized((session.mailbox_name(given),))))
    return [row.removesuffix(b"\r\n") + b" " + old + b"\r\n"]


CAPABILITIES = ("UTF8=ACCEPT",)
ENABLES: dict[bytes, Callable[[Session], None]] = {
    b"IMAP4REV2": lambda session: None,
    b"UTF8=ACCEPT": lambda session: None,
}
