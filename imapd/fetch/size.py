"""RFC822.SIZE: octets with CRLF line ends."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message


class Size(Item):
    def render(self, message: Message) -> bytes:
        return b"RFC822.SIZE %d" % message.size


RFC822_SIZE = Size()
