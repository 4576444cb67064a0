"""UID."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain


class Uid(Item):
    def render(self, message: Message) -> bytes:
        return b"UID %d" % message.uid


UID = Uid()
ITEMS = {b"UID": plain(UID)}
