"""The octets that an IMAP URL names (RFC 5092): a message, or a part of one; as they are, or decoded (RFC 5524)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from pillarbox.imapd.fetch.binary import cut
from pillarbox.imapd.fetch.decoded_structure import as_decoded
from pillarbox.imapd.fetch.section import Readable, Section, locate, parse_section
from pillarbox.imapd.fetch.structure import format_body
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import MessageUrl
from pillarbox.lib.mime import Part, find_part, scan_message
from pillarbox.lib.mime.decoded import Stretch, UnknownEncoding, decoded_stretches, read_decoded
from pillarbox.lib.store.apart import patiently
from pillarbox.lib.store.interface import MessageContent, Store, StoreError


class BadUrl(Exception):
    """It names nothing that is there, or nothing that this account may read."""


class _Opened(Readable):
    """A message that is open."""

    def __init__(self, content: MessageContent) -> None:
        self._content = content
        self._tree: Part | None = None

    @property
    def content(self) -> MessageContent:
        return self._content

    @property
    def tree(self) -> Part:
        if self._tree is None:
            self._tree = scan_message(self._content.chunks())
        return self._tree


class Named:
    """What a URL names, open."""

    def __init__(self, content: MessageContent, section: Section, partial: tuple[int, int | None] | None) -> None:
        self._message = _Opened(content)
        self._section = section
        self._partial = partial

    def octets(self) -> tuple[int, Iterator[bytes]]:
        """How many octets it has, and these in pieces.  Raises BadUrl, StoreError."""
        place = locate(self._section, self._message)
        if place is None:
            raise BadUrl("the message has no such part")
        if isinstance(place, bytes):
            return self._cut(len(place), iter((place,)))
        size = place[1] - place[0]
        return self._cut(size, self._message.content.chunks(place[0], size) if size else iter(()))

    def decoded(self) -> tuple[int, bool, Iterator[bytes]] | None:
        """The same without transfer encodings, and whether there is NUL in it; None where one of them is unknown.

        It is read twice, and never held.  Raises BadUrl, StoreError.
        """
        try:
            stretches = self._stretches()
        except UnknownEncoding:
            return None
        if stretches is None:
            size, pieces = self.octets()
            return size, False, pieces
        chunks = self._message.content.chunks
        size, nul = 0, False
        for piece in self._cut(1 << 62, read_decoded(stretches, chunks))[1]:
            size += len(piece)
            nul = nul or b"\0" in piece
        return size, nul, self._cut(1 << 62, read_decoded(stretches, chunks))[1]

    def structure(self, *, decoded: bool) -> bytes:
        """BODYPARTSTRUCTURE of the part, or of the message that the section is of.  Raises BadUrl, StoreError."""
        part = self._part()
        try:
            if decoded and self._stretches() is not None:
                part = as_decoded(part, self._message.content.chunks)
        except UnknownEncoding:
            pass  # it comes as it is
        return format_body(part, extended=True)

    def _stretches(self) -> list[Stretch] | None:
        """What is decoded; None for headers.  Raises BadUrl, UnknownEncoding."""
        section = self._section
        if section.text not in (b"", b"TEXT"):
            return None
        return decoded_stretches(self._part(), with_header=not section.numbers and not section.text)

    def _part(self) -> Part:
        """The part, or the message that the section is of.  Raises BadUrl."""
        section = self._section
        part = find_part(self._message.tree, section.numbers)
        if part is not None and section.numbers and section.text not in (b"", b"MIME"):
            part = part.children[0] if part.is_message else None
        if part is None:
            raise BadUrl("the message has no such part")
        return part

    def _cut(self, size: int, pieces: Iterator[bytes]) -> tuple[int, Iterator[bytes]]:
        if self._partial is None:
            return size, pieces
        start, length = self._partial
        size = max(0, min(size - start, size if length is None else length))
        return size, cut(pieces, start, size) if size else iter(())


@asynccontextmanager
async def opened(store: Store, url: MessageUrl) -> AsyncIterator[Named]:
    """What the URL names.  Raises BadUrl."""
    cursor = Cursor(b"[%b]" % url.section)
    try:
        section = parse_section(cursor)
        cursor.end()
        with await patiently(partial(store.open, url.mailbox, read_only=True)) as mailbox:
            if url.uid_validity not in (None, mailbox.uid_validity):
                raise BadUrl("the mailbox has another UIDVALIDITY")
            if mailbox.messages.position(url.uid) is None:
                raise BadUrl("no such message")
            with mailbox.read(url.uid) as content:
                yield Named(content, section, url.partial)
    except BadSyntax as error:
        raise BadUrl(str(error)) from None
    except StoreError as error:
        raise BadUrl(str(error)) from None


@asynccontextmanager
async def octets_of(store: Store, url: MessageUrl) -> AsyncIterator[tuple[int, Iterator[bytes]]]:
    """How many octets it names, and these in pieces.  Raises BadUrl."""
    async with opened(store, url) as named:
        yield named.octets()
