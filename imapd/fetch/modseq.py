"""MODSEQ (RFC 7162 section 3.1.4.2)."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain


class Modseq(Item):
    asks_modseq = True

    def render(self, message: Message) -> bytes:
        return message.session.mailbox.modseq_item(message.state)


MODSEQ = Modseq()
ITEMS = {b"MODSEQ": plain(MODSEQ)}
