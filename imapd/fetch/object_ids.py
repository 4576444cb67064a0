"""EMAILID and THREADID (RFC 8474 section 5): what stays the same when a message is copied or moved.

THREADID needs no memory of other messages: it is made from the thread's root as the message itself names it, and where
it names none from its EMAILID.  So it never changes, is the same in all mailboxes and stores, and equal messages have
equal ones.  Messages that only an answer in between relates (References: cut off) are not brought together.
"""

from __future__ import annotations

import hashlib

from pillarbox.imapd.fetch.header_fields import FIELD, short_header
from pillarbox.imapd.fetch.item import Column, Item, Message, plain
from pillarbox.imapd.session.context import Session
from pillarbox.lib.message.header import first_value
from pillarbox.lib.message.references import thread_root


def thread_id(references: bytes | None, in_reply_to: bytes | None, message_id: bytes | None) -> str | None:
    """The THREADID of a message with these fields; None: they name no message, and `lone_thread_id` is to be asked."""
    root = thread_root(references, in_reply_to, message_id)
    return f"T{hashlib.blake2b(root.encode('utf-8'), digest_size=16).hexdigest()}" if root else None


def lone_thread_id(email_id: str) -> str:
    """The THREADID of a message that says nothing of itself and of others; never equal to an EMAILID."""
    return f"T{email_id}"


class EmailId(Item):
    def render(self, message: Message) -> bytes:
        return b"EMAILID (%b)" % message.session.mailbox.mailbox.email_id(message.uid).encode("ascii")


class ThreadId(Item):
    def _of(self, short: bytes) -> bytes | None:
        found = thread_id(*(first_value(short, name) for name in (b"References", b"In-Reply-To", b"Message-ID")))
        return None if found is None else found.encode("ascii")

    def render(self, message: Message) -> bytes:
        mailbox = message.session.mailbox.mailbox
        short = mailbox.cache.get(FIELD, message.uid)
        if short is None:
            short = short_header(message.content.header())
            mailbox.cache.put(FIELD, message.uid, short)
        found = self._of(short) or lone_thread_id(mailbox.email_id(message.uid)).encode("ascii")
        return b"THREADID (%b)" % found

    def column(self, session: Session, start: int, stop: int) -> Column:
        selected = session.mailbox
        known = selected.mailbox.cache.get_many(FIELD, selected.uids[start:stop])
        return Column(b"THREADID (%b)", [None if short is None else self._of(short) for short in known])


EMAILID, THREADID = EmailId(), ThreadId()
ITEMS = {b"EMAILID": plain(EMAILID), b"THREADID": plain(THREADID)}
