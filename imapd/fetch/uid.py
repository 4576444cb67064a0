"""UID."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Column, Item, Message, plain
from pillarbox.imapd.session.context import Session


class Uid(Item):
    def render(self, message: Message) -> bytes:
        return b"UID %d" % message.uid

    def column(self, session: Session, start: int, stop: int) -> Column:
        return Column(b"UID %d", session.mailbox.uids[start:stop])


UID = Uid()
ITEMS = {b"UID": plain(UID)}
