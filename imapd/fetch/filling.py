"""What clients ask of every message, put into the mailbox's cache by whoever has read a message for another reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pillarbox.imapd.fetch import header_fields
from pillarbox.imapd.fetch.envelope import ENVELOPE, envelope
from pillarbox.imapd.fetch.header_fields import short_header
from pillarbox.imapd.fetch.structure import BODYSTRUCTURE, format_body
from pillarbox.imapd.search import summary
from pillarbox.lib.mime import Part
from pillarbox.lib.store.interface import Mailbox, MessageContent

_VALUES: Final[dict[str, Callable[[bytes, Part], bytes]]] = {
    ENVELOPE.field: lambda header, tree: envelope(header),
    BODYSTRUCTURE.field: lambda header, tree: format_body(tree, extended=True),
    header_fields.FIELD: lambda header, tree: short_header(header),
    summary.FIELD: lambda header, tree: summary.summarize(short_header(header)),
}
"""Field of the cache -> its value, of a message's header and parts: all that costs little once these are at hand."""


def fill(mailbox: Mailbox, uid: int, content: MessageContent, tree: Part) -> None:
    """Put in what is not there.  Raises MessageGone, StoreError."""
    cache = mailbox.cache
    for field, value in _VALUES.items():
        if cache.get(field, uid) is None:
            cache.put(field, uid, value(content.header(), tree))
