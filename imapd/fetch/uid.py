"""UID."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message


class Uid(Item):
    def render(self, message: Message) -> bytes:
        return b"UID %d" % message.uid


UID = Uid()
