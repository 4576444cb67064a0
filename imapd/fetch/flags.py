"""FLAGS."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain
from pillarbox.imapd.session.selected import flag_names


class Flags(Item):
    tells_flags = True

    def render(self, message: Message) -> bytes:
        return b"FLAGS " + flag_names(message.state)


FLAGS = Flags()
ITEMS = {b"FLAGS": plain(FLAGS)}
