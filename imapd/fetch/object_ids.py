"""EMAILID and THREADID (RFC 8474 section 5): what stays the same when a message is copied or moved."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain
from pillarbox.imapd.protocol.response import NIL


class EmailId(Item):
    def render(self, message: Message) -> bytes:
        return b"EMAILID (%b)" % message.session.mailbox.mailbox.email_id(message.uid).encode("ascii")


class ThreadId(Item):
    def render(self, message: Message) -> bytes:
        found = message.session.mailbox.mailbox.thread_id(message.uid)
        return b"THREADID " + (NIL if found is None else b"(%b)" % found.encode("ascii"))


EMAILID, THREADID = EmailId(), ThreadId()
ITEMS = {b"EMAILID": plain(EMAILID), b"THREADID": plain(THREADID)}
