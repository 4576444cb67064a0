"""Messages in a narrower transfer encoding: for servers without 8BITMIME or BINARYMIME (RFC 6152, RFC 3030), for files.

    for piece in convert(read, Target.SEVEN_BIT, exact=False): ...

`read()` gives the content in pieces, anew on each call: it is gone through three times, and never in memory as a whole.
With `exact` everything behind the first header is a BINARYMIME body, octets as they came, with CRLF between lines; what
comes out is always lines that end in LF.

Promises: each part decodes to the same octets as before (text that is kept or quoted has its line ends in LF); what
need not change does not, but for labels that would no longer be true; structure and header fields stay, except
Content-Transfer-Encoding, and MIME-Version where it was missing.  Raises `Unconvertible` before anything has come out:
signed parts (RFC 1847 section 2.1) must not change, encodings that nobody knows cannot be undone.

Header fields are not touched: octets above 127 in them are the business of SMTPUTF8, not of 8BITMIME.  Above 127 around
the parts of a multipart, where nobody reads, is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pillarbox.lib.mime.encoding import Base64, QuotedPrintable, Survey
from pillarbox.lib.mime.limits import NESTING_LIMIT, PART_LIMIT
from pillarbox.lib.mime.part import Part, header_places
from pillarbox.lib.mime.scan import scan_message
from pillarbox.lib.mime.stretches import WireReader, header_lines, line_feeds

LINE_LIMIT = 998
"""Octets of a line of text (RFC 5322 section 2.1.1)."""

Source = Callable[[], Iterable[bytes]]


class Unconvertible(Exception):
    """The message cannot be sent this way: X.6.3, conversion required but not supported (RFC 3463)."""


class Target(Enum):
    """What is allowed afterwards; the value is the label of a body that needs all of it."""

    SEVEN_BIT = b"7bit"
    EIGHT_BIT = b"8bit"


class Way(Enum):
    """What becomes of a stretch of the message."""

    HEADER = "lines, with another label"
    KEEP = "lines"
    FILL = "lines that nobody reads"
    QUOTE = "quoted-printable"
    BASE64 = "base64"
    MEND_QUOTED = "quoted-printable that has octets above 127"
    MEND_BASE64 = "base64 that has octets above 127"


@dataclass(slots=True)
class Stretch:
    """A piece of the message up to `end`, an offset as `Part` has them.  `label` is the encoding that a header gets."""

    way: Way
    end: int
    label: bytes = b""
    with_version: bool = False
    """Whether the header is that of a message, not of a part of one."""


_REPLACED = bytes(octet if octet < 128 else 0x3F for octet in range(256))
_HIGH = re.compile(rb"[\x80-\xff]")
_WIDE = frozenset({b"8bit", b"binary"})
_ENCODED = {b"quoted-printable": Way.MEND_QUOTED, b"base64": Way.MEND_BASE64}
_NEVER_ENCODED = frozenset({b"partial", b"external-body"})
"""RFC 2046 sections 5.2.2 and 5.2.3: their transfer encoding is 7bit, always."""


def convert(read: Source, target: Target, *, exact: bool) -> Iterator[bytes]:
    """The converted message in pieces.  Raises Unconvertible, at once."""
    plan = _Planner(read, target, exact).plan()
    return _emit(read, plan, exact)


def headers_are_ascii(read: Source) -> bool:
    """Whether no header, of the message, of its parts and of messages in it, has an octet above 127."""
    root = scan_message(read())
    reader = WireReader(read())
    for start, end in header_places(root):
        for _ in reader.until(start):
            pass
        for piece in reader.until(end):
            if not piece.isascii():
                return False
    return True


class _Planner:
    """Decides what becomes of each stretch, reading the message along with its tree."""

    def __init__(self, read: Source, target: Target, exact: bool) -> None:
        self._target = target
        self._exact = exact
        self._root = scan_message(read())
        self._reader = WireReader(read())
        self._plan: list[Stretch] = []
        self._parts = 0

    def plan(self) -> list[Stretch]:
        self._entity(self._root, depth=1, message=True)
        return self._plan

    def _survey(self, end: int) -> Survey:
        survey = Survey(exact=self._exact)
        for piece in self._reader.until(end):
            survey.look(piece, LINE_LIMIT)
        survey.finish()
        return survey

    def _fits(self, survey: Survey) -> bool:
        """Whether a body may go as it is; lines that are too long in a body of text were so before."""
        if survey.eight_bit and self._target is Target.SEVEN_BIT:
            return False
        return not (survey.unlike_text and self._exact)

    def _add(self, way: Way, end: int) -> None:
        self._plan.append(Stretch(way, end))

    def _entity(self, part: Part, depth: int, message: bool) -> None:
        self._parts += 1
        if self._parts >= PART_LIMIT or depth >= NESTING_LIMIT:
            raise Unconvertible("the message has too many parts")
        for _ in self._reader.until(part.body_start):
            pass
        header = Stretch(Way.HEADER, part.body_start, with_version=message)
        self._plan.append(header)
        has_parts = part.is_message or any(child.end > child.header_start for child in part.children)
        if has_parts and part.subtype == b"signed":
            self._signed(part, header)
        elif has_parts:
            self._container(part, header, depth)
        else:
            self._leaf(part, header)

    def _signed(self, part: Part, header: Stretch) -> None:
        if not self._fits(self._survey(part.end)):
            raise Unconvertible("a signed part would have to be changed")
        self._add(Way.KEEP, part.end)
        header.label = self._narrower(part)

    def _container(self, part: Part, header: Stretch, depth: int) -> None:
        if not all(value.isascii() for name, value in part.parameters if name.startswith(b"boundary")):
            raise Unconvertible("a boundary is not ASCII")
        around = Way.FILL if self._target is Target.SEVEN_BIT else Way.KEEP
        position = part.body_start
        for child in part.children:
            if child.header_start > position:
                for _ in self._reader.until(child.header_start):
                    pass
                self._add(around, child.header_start)
            self._entity(child, depth + 1, message=part.is_message)
            position = child.end
        if part.end > position:
            for _ in self._reader.until(part.end):
                pass
            self._add(around, part.end)
        header.label = self._narrower(part)

    def _narrower(self, part: Part) -> bytes:
        """The label for a body that is not encoded: another one where it would allow what is not there."""
        if part.encoding not in _WIDE or part.encoding == self._target.value:
            return b""
        return self._target.value

    def _leaf(self, part: Part, header: Stretch) -> None:
        survey = self._survey(part.end)
        if self._fits(survey):
            self._add(Way.KEEP, part.end)
            header.label = self._narrower(part)
        elif part.encoding in _ENCODED:
            self._add(_ENCODED[part.encoding], part.end)
        elif part.encoding not in _WIDE and part.encoding != b"7bit":
            raise Unconvertible("a part has an unknown transfer encoding")
        elif part.type == b"message" and part.subtype in _NEVER_ENCODED:
            raise Unconvertible(f"message/{part.subtype.decode()} cannot be encoded")
        elif part.type in (b"text", b"message", b"multipart"):
            self._add(Way.QUOTE, part.end)
            header.label = b"quoted-printable"
        else:
            self._add(Way.BASE64, part.end)
            header.label = b"base64"


def _emit(read: Source, plan: list[Stretch], exact: bool) -> Iterator[bytes]:
    reader = WireReader(read())
    last = b"\n"
    for stretch in plan:
        for piece in _EMITTERS[stretch.way](reader.until(stretch.end), stretch, exact):
            if piece:
                last = piece[-1:]
                yield piece
    if last != b"\n":
        # A line without end is ended, which quoted-printable can undo.
        yield b"=\n" if plan and plan[-1].way is Way.QUOTE else b"\n"


def _header(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    lines = line_feeds(pieces)
    return header_lines(lines, stretch.label, with_version=stretch.with_version) if stretch.label else lines


def _keep(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    return line_feeds(pieces) if exact else pieces


def _fill(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    for piece in line_feeds(pieces):
        yield piece.translate(_REPLACED)


def _quote(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    encoder = QuotedPrintable(exact=exact)
    for piece in pieces:
        yield encoder.encode(piece)
    yield encoder.finish()


def _base64(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    encoder = Base64(exact=exact)
    for piece in pieces:
        yield encoder.encode(piece)
    yield encoder.finish()


def _mend_quoted(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    """Each octet above 127 between soft line breaks: right wherever it stands, and no line gets too long."""
    for piece in line_feeds(pieces):
        yield _HIGH.sub(lambda match: b"=%02X=\n" % match[0][0], piece)


def _mend_base64(pieces: Iterator[bytes], stretch: Stretch, exact: bool) -> Iterator[bytes]:
    return _fill(pieces, stretch, exact)  # outside the alphabet, and so overlooked (RFC 2045 section 6.8)


_EMITTERS: dict[Way, Callable[[Iterator[bytes], Stretch, bool], Iterator[bytes]]] = {
    Way.HEADER: _header,
    Way.KEEP: _keep,
    Way.FILL: _fill,
    Way.QUOTE: _quote,
    Way.BASE64: _base64,
    Way.MEND_QUOTED: _mend_quoted,
    Way.MEND_BASE64: _mend_base64,
}
