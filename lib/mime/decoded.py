"""Messages and parts of them without transfer encodings: what BINARY of IMAP gives (RFC 3516 section 4.2).

    for piece in read_decoded(decoded_stretches(part, with_header=True), read): ...

A part comes decoded, and its header says `binary`; what stands around the parts stays, and so do parts that are not
encoded.  Nothing is held but a header's line.  `read(start, size)` gives octets on the wire, as `Part` counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pillarbox.lib.mime.decoding import IDENTITY, KNOWN, decode_transfer
from pillarbox.lib.mime.part import Part
from pillarbox.lib.mime.stretches import header_lines, line_feeds

Read = Callable[[int, int], Iterable[bytes]]


class UnknownEncoding(Exception):
    """Nobody knows how to decode a part."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Octets [start, start + size) of the message."""

    start: int
    size: int
    encoding: bytes = b"binary"
    """What is undone in a body."""
    is_header: bool = False
    """A header that gets another label."""

    @property
    def stays(self) -> bool:
        """Whether it comes as it is."""
        return self.encoding in IDENTITY and not self.is_header


def decoded_stretches(part: Part, *, with_header: bool) -> list[Stretch]:
    """The part, or with its header the message, in stretches.  Raises UnknownEncoding."""
    stretches: list[Stretch] = []
    _walk(part, with_header, stretches)
    return stretches


def _walk(part: Part, with_header: bool, stretches: list[Stretch]) -> None:
    """Goes as deep as the scanner has gone (`limits.NESTING_LIMIT`)."""
    encoding = b"binary" if part.children else part.encoding
    if encoding not in KNOWN:
        raise UnknownEncoding
    if with_header:
        _add(stretches, part.header_start, part.body_start, is_header=encoding not in IDENTITY)
    if not part.children:
        _add(stretches, part.body_start, part.end, encoding)
        return
    position = part.body_start
    for child in part.children:
        _add(stretches, position, child.header_start)
        _walk(child, True, stretches)
        position = child.end
    _add(stretches, position, part.end)


def _add(
    stretches: list[Stretch], start: int, end: int, encoding: bytes = b"binary", *, is_header: bool = False
) -> None:
    if end <= start:
        return
    stretch = Stretch(start, end - start, encoding, is_header)
    last = stretches[-1] if stretches else None
    if last is not None and last.stays and stretch.stays and last.start + last.size == start:
        stretches[-1] = Stretch(last.start, last.size + stretch.size)
    else:
        stretches.append(stretch)


def read_decoded(stretches: Iterable[Stretch], read: Read) -> Iterator[bytes]:
    """Their octets."""
    for stretch in stretches:
        pieces = read(stretch.start, stretch.size)
        if stretch.is_header:
            for line in header_lines(line_feeds(pieces), b"binary", with_version=False):
                yield line.replace(b"\n", b"\r\n")
        else:
            yield from decode_transfer(stretch.encoding, pieces)
