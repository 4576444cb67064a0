"""The octets that an IMAP URL names (RFC 5092): a message of this account, or a part of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pillarbox.imapd.fetch.binary import cut
from pillarbox.imapd.fetch.section import Readable, locate, parse_section
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import MessageUrl
from pillarbox.lib.mime import Part, scan_message
from pillarbox.lib.store.interface import MessageContent, Store, StoreError


class BadUrl(Exception):
    """It names nothing that is there, or nothing that this account may read."""


class _Opened(Readable):
    """A message that is open."""

    def __init__(self, content: MessageContent) -> None:
        self._content = content

    @property
    def content(self) -> MessageContent:
        return self._content

    @property
    def tree(self) -> Part:
        return scan_message(self._content.chunks())


@contextmanager
def octets_of(store: Store, url: MessageUrl) -> Iterator[tuple[int, Iterator[bytes]]]:
    """How many octets it names, and these in pieces.  Raises BadUrl."""
    cursor = Cursor(b"[%b]" % url.section)
    try:
        section = parse_section(cursor)
        cursor.end()
        with store.open(url.mailbox, read_only=True) as mailbox:
            if url.uid_validity not in (None, mailbox.uid_validity):
                raise BadUrl("the mailbox has another UIDVALIDITY")
            if mailbox.messages.position(url.uid) is None:
                raise BadUrl("no such message")
            with mailbox.read(url.uid) as content:
                place = locate(section, _Opened(content))
                if place is None:
                    raise BadUrl("the message has no such part")
                if isinstance(place, bytes):
                    size = len(place)
                    pieces = iter((place,))
                else:
                    size = place[1] - place[0]
                    pieces = content.chunks(place[0], size) if size else iter(())
                if url.partial is not None:
                    start, length = url.partial
                    size = max(0, min(size - start, size if length is None else length))
                    pieces = cut(pieces, start, size) if size else iter(())
                yield size, pieces
    except BadSyntax as error:
        raise BadUrl(str(error)) from None
    except StoreError as error:
        raise BadUrl(str(error)) from None
