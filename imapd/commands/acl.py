"""What the commands of ACL share (RFC 4314): names, rights, the line of MYRIGHTS; and LIST-MYRIGHTS (RFC 8440).

What may be done is decided in `lib.store.shared`, for every command alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pillarbox.imapd.commands.options import ListReturn
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.capabilities import Capability
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config.parameters.sharing import IMAP_SHARED_MAILBOXES
from pillarbox.lib.store.acl import IDENTIFIER_LIMIT, read_rights, told_rights
from pillarbox.lib.store.interface import MailboxEntry


def _where_shared(word: str) -> Capability:
    return lambda config: word if config[IMAP_SHARED_MAILBOXES] else ""


CAPABILITIES: Final[tuple[Capability, ...]] = (
    _where_shared("ACL"),
    _where_shared("RIGHTS=texk"),
    _where_shared("LIST-MYRIGHTS"),
)


def parse_identifier(cursor: Cursor) -> str:
    """identifier = astring."""
    text = cursor.astring().decode("utf-8", "replace")
    if not text or len(text) > IDENTIFIER_LIMIT:
        raise BadSyntax("an identifier was expected")
    return text


def parse_rights(cursor: Cursor) -> tuple[str, str]:
    """mod-rights = astring: a sign or none, and rights.  Raises BadSyntax for what is no right (section 3.1)."""
    text = cursor.astring().decode("ascii", "replace")
    sign = text[:1] if text[:1] in ("+", "-") else ""
    rights = read_rights(text[len(sign) :])
    if rights is None:
        raise BadSyntax("rights are letters of lrswipkxtea")
    return sign, rights


def rights_text(rights: str) -> bytes:
    """Rights as clients are told them."""
    return response.astring(told_rights(rights).encode("ascii"))


def my_rights_line(session: Session, mailbox: str) -> bytes:
    """`* MYRIGHTS mailbox rights` (section 3.8).  Raises StoreError."""
    rights = session.store.rights(mailbox)
    return response.untagged(b"MYRIGHTS", session.mailbox_name(mailbox), rights_text(rights))


class WithRights(ListReturn):
    """MYRIGHTS (RFC 8440)."""

    def lines(self, session: Session, entry: MailboxEntry) -> Iterable[bytes]:
        return (my_rights_line(session, entry.name),) if entry.selectable else ()


LIST_RETURN: dict[bytes, Callable[[Cursor], ListReturn]] = {b"MYRIGHTS": lambda cursor: WithRights()}
