"""BODY[HEADER.FIELDS (...)] of the fields that clients show in their lists: out of the mailbox's cache.

Kept of each message is a short header, its fields of `KEPT` in their order; out of it any choice among them is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pillarbox.imapd.fetch.item import Column, Item, Message
from pillarbox.imapd.protocol.response import literal
from pillarbox.imapd.session.context import Session

KEPT = frozenset(
    b"""bcc cc content-type date delivered-to disposition-notification-to from importance in-reply-to list-id list-post
    list-unsubscribe message-id mime-version newsgroups organization precedence priority references reply-to
    return-receipt-to sender subject to x-mailing-list x-mailer x-priority user-agent""".split()
)
FIELD = "header"
"""In the mailbox's cache."""


@lru_cache(256)
def _picker(names: frozenset[bytes]) -> re.Pattern[bytes]:
    """Finds these fields, whole."""
    words = b"|".join(map(re.escape, sorted(names)))
    return re.compile(rb"^(?:%b)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)" % words, re.IGNORECASE | re.MULTILINE)


_VALUE = rb"[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)"
_ANY_FIELD = re.compile(
    # A field that is kept; or another one; or the end of the header and all that follows it (`lib.message.header`).
    rb"((?:%b)%b)|[!-9;-~]+%b|[\s\S]+" % (b"|".join(sorted(KEPT)), _VALUE, _VALUE),
    re.IGNORECASE,
)


def short_header(header: bytes) -> bytes:
    """What is kept of a header: no line of it is anything but a field."""
    return b"".join(_ANY_FIELD.findall(header))


def header_of(message: Message) -> bytes:
    """The header, alone where the command wants nothing of the message that is worked out of all of it.

    Raises MessageGone, StoreError.
    """
    missed, uid = message.session.mailbox.mailbox.cache.missed, message.uid
    if missed("structure", uid) or missed("body", uid) or missed("preview", uid):
        return message.content.header()
    return message.session.header(uid)


@dataclass(frozen=True, slots=True)
class HeaderFields(Item):
    """One such item; `name` is what the response calls it, `wanted` are some of `KEPT`."""

    wanted: frozenset[bytes]
    name: bytes
    sets_seen: bool = True

    def _chosen(self, short: bytes) -> bytes:
        return literal(b"".join(_picker(self.wanted).findall(short)) + b"\r\n")

    def render(self, message: Message) -> bytes:
        cache = message.session.mailbox.mailbox.cache
        short = cache.get(FIELD, message.uid)
        if short is None:
            short = short_header(header_of(message))
            cache.put(FIELD, message.uid, short)
        return b"%b %b" % (self.name, self._chosen(short))

    def column(self, session: Session, start: int, stop: int) -> Column:
        selected = session.mailbox
        known = selected.mailbox.cache.get_many(FIELD, selected.uids[start:stop])
        values = [None if short is None else self._chosen(short) for short in known]
        return Column(self.name.replace(b"%", b"%%") + b" %b", values)
