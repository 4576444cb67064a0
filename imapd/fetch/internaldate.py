"""INTERNALDATE."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain
from pillarbox.imapd.protocol.dates import format_date_time


class InternalDate(Item):
    def render(self, message: Message) -> bytes:
        return b"INTERNALDATE " + format_date_time(message.internal_date)


INTERNALDATE = InternalDate()
ITEMS = {b"INTERNALDATE": plain(INTERNALDATE)}
