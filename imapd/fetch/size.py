"""RFC822.SIZE: octets with CRLF line ends."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import Column, Item, Message, plain
from pillarbox.imapd.session.context import Session


class Size(Item):
    def render(self, message: Message) -> bytes:
        return b"RFC822.SIZE %d" % message.size

    def column(self, session: Session, start: int, stop: int) -> Column:
        sizes = session.mailbox.mailbox.messages.sizes(start, stop)
        return Column(b"RFC822.SIZE %d", [size if size >= 0 else None for size in sizes])


RFC822_SIZE = Size()
ITEMS = {b"RFC822.SIZE": plain(RFC822_SIZE)}
