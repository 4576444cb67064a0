"""The part tree: frozen values that hold all that BODY and BODYSTRUCTURE say, and where each part lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pillarbox.lib.mime.envelope import Envelope

Parameters = tuple[tuple[bytes, bytes], ...]
"""Parameter names in lower case, and values without quotes; RFC 2231 forms are kept as they came."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """Content-Disposition (RFC 2183)."""

    type: bytes
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Part:
    """A message or a body part.

    Offsets are octets on the wire (CRLF line ends) from the beginning of the message.  `type`, `subtype` and
    `encoding` are in lower case.  The octets of a part's body are [body_start, end).
    """

    type: bytes
    subtype: bytes
    parameters: Parameters
    header_start: int
    body_start: int
    end: int
    lines: int
    """Line ends in the body."""
    encoding: bytes = b"7bit"
    content_id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    disposition: Disposition | None = None
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    children: tuple[Part, ...] = ()
    """The parts of a multipart; for message/rfc822 the one message in it."""
    envelope: Envelope | None = None
    """For message/rfc822: the envelope of the message in it."""

    @property
    def is_multipart(self) -> bool:
        return self.type == b"multipart"

    @property
    def is_message(self) -> bool:
        """Whether this is a message/rfc822 whose content was read as a message."""
        return self.type == b"message" and bool(self.children)

    @property
    def octets(self) -> int:
        """The size of the body in its transfer encoding."""
        return self.end - self.body_start


def find_part(message: Part, numbers: Sequence[int]) -> Part | None:
    """The part that a section number names (RFC 9051 section 6.4.5.1); `()` is the message itself.

    A message that is no multipart has one part, number 1: itself.  Numbers go through a message/rfc822 into its
    content.
    """
    part = message
    inside_message = True  # whether `part` is a whole message, whose only part may be numbered 1
    for number in numbers:
        if part.is_message and not inside_message:
            part, inside_message = part.children[0], True
        if part.is_multipart:
            if number > len(part.children):
                return None
            part, inside_message = part.children[number - 1], False
        elif number == 1 and inside_message:
            inside_message = False
        else:
            return None
    return part


def header_places(part: Part) -> Iterator[tuple[int, int]]:
    """Where the headers are, of the message, of its parts and of messages in it, in their order: [start, end)."""
    yield part.header_start, part.body_start
    for child in part.children:
        yield from header_places(child)
