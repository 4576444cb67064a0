"""SAVEDATE (RFC 8514): when the message came into its mailbox, NIL where the store does not know."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain
from pillarbox.imapd.protocol.dates import format_date_time
from pillarbox.imapd.protocol.response import NIL


class SaveDate(Item):
    def render(self, message: Message) -> bytes:
        when = message.session.mailbox.mailbox.save_date(message.uid)
        return b"SAVEDATE " + (NIL if when is None else format_date_time(when))


SAVEDATE = SaveDate()
CAPABILITIES = ("SAVEDATE",)
ITEMS = {b"SAVEDATE": plain(SAVEDATE)}
