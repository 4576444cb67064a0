"""MODSEQ (RFC 7162 section 3.1.4.2)."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Column, Item, Message, plain
from pillarbox.imapd.session.context import Session


class Modseq(Item):
    asks_modseq = True

    def render(self, message: Message) -> bytes:
        return message.session.mailbox.modseq_item(message.state)

    def column(self, session: Session, start: int, stop: int) -> Column:
        selected = session.mailbox
        modseqs = selected.mailbox.messages.modseqs(start, stop)
        selected.tell_modseq(max(modseqs, default=0))
        return Column(b"MODSEQ (%d)", modseqs)


MODSEQ = Modseq()
ITEMS = {b"MODSEQ": plain(MODSEQ)}
