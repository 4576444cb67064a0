"""INTERNALDATE."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Column, Item, Message, plain
from pillarbox.imapd.protocol.dates import format_date_time
from pillarbox.imapd.session.context import Session


class InternalDate(Item):
    def render(self, message: Message) -> bytes:
        return b"INTERNALDATE " + format_date_time(message.internal_date)

    def column(self, session: Session, start: int, stop: int) -> Column:
        dates = session.mailbox.mailbox.messages.dates(start, stop)
        return Column(b"INTERNALDATE %b", [format_date_time(date) if date >= 0 else None for date in dates])


INTERNALDATE = InternalDate()
ITEMS = {b"INTERNALDATE": plain(INTERNALDATE)}
