"""RFC822.SIZE: octets with CRLF line ends."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Item, Message, plain


class Size(Item):
    def render(self, message: Message) -> bytes:
        return b"RFC822.SIZE %d" % message.size


RFC822_SIZE = Size()
ITEMS = {b"RFC822.SIZE": plain(RFC822_SIZE)}
