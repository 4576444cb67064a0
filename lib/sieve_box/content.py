"""A message's content with another header, in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.delivery import Content
from pillarbox.lib.delivery.content import HEADER_LIMIT
from pillarbox.lib.message.header import HeaderReader


def split(content: Content) -> tuple[bytes, Iterator[bytes]]:
    """The header block, without the empty line that ends it, and the pieces of the body behind that line.

    The pieces can be had once; there is none without that line, an empty one where nothing is behind it.  Raises
    OSError, EOFError where the file cannot be read.
    """
    reader = HeaderReader(HEADER_LIMIT)
    chunks = iter(content.chunks())
    for chunk in chunks:
        if reader.feed(chunk):
            break
    else:
        reader.close()
    rest, ended = reader.rest, False
    for empty in (b"\n", b"\r\n"):
        if rest.startswith(empty):
            rest, ended = rest[len(empty) :], True
            break

    def body() -> Iterator[bytes]:
        if rest or ended:
            yield rest
        yield from chunks

    return reader.block, body()


def with_header(content: Content, header: bytes) -> Iterator[bytes]:
    """The content with `header` in place of its own."""
    if header and not header.endswith(b"\n"):
        header += b"\n"
    yield header + b"\n"
    yield from split(content)[1]
