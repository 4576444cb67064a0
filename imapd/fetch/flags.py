"""FLAGS."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Column, Item, Message, plain
from pillarbox.imapd.session.context import Session
from pillarbox.lib.store.interface import MessageState


class Flags(Item):
    def render(self, message: Message) -> bytes:
        return b"FLAGS " + message.session.mailbox.flag_names(message.state)

    def column(self, session: Session, start: int, stop: int) -> Column:
        messages = session.mailbox.mailbox.messages
        marks = messages.marks(start, stop)
        texts = {mark: session.mailbox.flag_names(MessageState(0, *messages.meaning(mark), 0)) for mark in set(marks)}
        return Column(b"FLAGS %b", [texts[mark] for mark in marks])


FLAGS = Flags()
ITEMS = {b"FLAGS": plain(FLAGS)}
