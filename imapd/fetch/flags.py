"""FLAGS."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain


class Flags(Item):
    def render(self, message: Message) -> bytes:
        return b"FLAGS " + message.session.mailbox.flag_names(message.state)


FLAGS = Flags()
ITEMS = {b"FLAGS": plain(FLAGS)}
