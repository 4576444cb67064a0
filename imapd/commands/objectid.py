"""OBJECTID (RFC 8474): MAILBOXID in STATUS; SELECT and CREATE tell it too, `fetch.object_ids` those of messages."""

from __future__ import annotations

from pillarbox.imapd.commands.options import StatusItem
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MailboxStatus


def mailbox_id(session: Session, name: str, status: MailboxStatus) -> bytes:
    """MAILBOXID (section 4.3).  Raises StoreError."""
    with session.store.open(name, read_only=True) as mailbox:
        return b"(%b)" % mailbox.mailbox_id.encode("ascii")


CAPABILITIES = ("OBJECTID",)
STATUS_ITEMS: dict[bytes, StatusItem] = {b"MAILBOXID": mailbox_id}
