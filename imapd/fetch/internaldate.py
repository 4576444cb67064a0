"""INTERNALDATE."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message
from pillarbox.imapd.protocol.dates import format_date_time


class InternalDate(Item):
    def render(self, message: Message) -> bytes:
        return b"INTERNALDATE " + format_date_time(message.internal_date)


INTERNALDATE = InternalDate()
