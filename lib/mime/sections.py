"""A message as a stream of header fields and body lines, for who looks at content or changes it on the way.

    sections = Sections(limits)
    sections.note(field)                  # each field of the message's own header, which the caller has read
    for event in sections.feed(data): ... # data begins with the empty line behind that header
    for event in sections.finish(): ...

Promises: the bytes of all events together are the bytes that were fed, except that a header field beyond its limit is
cut, and that a part whose header is broken off by a line which is no field gets the empty line that is missing; the
same fields and lines come however the input is cut; memory is bounded by the limits, not by the message; bad mail
raises nothing.

What counts as a delimiter and as an attached message is what Postfix takes for it: every boundary of every
Content-Type, the delimiters of outer parts too, message/rfc822 and message/global.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from pillarbox.lib.mime.fields import loose_content_type

Kind: TypeAlias = Literal["primary", "multipart", "nested"]
"""Whose header a field belongs to: the message's, that of a part, that of an attached message."""

NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
"""The beginning of a header field (RFC 5322 section 2.2, with the obsolete blanks before the colon)."""

_MIME_FIELDS: Final = frozenset(
    f"content-{name}".encode() for name in ("description", "disposition", "id", "transfer-encoding", "type")
) | {b"mime-version"}
_EMPTY: Final = (b"\n", b"\r\n")
_LINE_END: Final = re.compile(rb"\r?\n\Z")
_TOKEN: Final = re.compile(rb"[ \t\r\n]*([^\x00-\x20()<>@,;:\\\"/\[\]?=]+)")
_IDENTITY: Final = frozenset((b"7bit", b"8bit", b"binary"))
_ENCODINGS: Final = _IDENTITY | {b"quoted-printable", b"base64"}
_MESSAGES: Final = frozenset((b"rfc822", b"global"))
_WAIT: Final = -1


@dataclass(frozen=True, slots=True)
class SectionLimits:
    """Bytes of one header field and of one piece of a line; depth of parts; bytes of a boundary that are compared.

    `mime`: whether parts are looked for at all.
    """

    header_size: int = 102400
    line_length: int = 2048
    nesting: int = 100
    boundary_length: int = 2048
    mime: bool = True


@dataclass(slots=True)
class Field:
    """A header field with its continuation lines and line ends; it stands from `start` to `end` of what was fed."""

    kind: Kind
    raw: bytes
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(slots=True)
class Body:
    """Whole lines of a body, or a piece of a line that is longer than a line may be.

    `offset` counts the bytes of the section before it; `encoding` is what the header announced, lower case; `start` is
    its place in what was fed, -1 for the empty line that was missing there.
    """

    data: bytes
    offset: int
    encoding: bytes
    start: int = field(default=0, compare=False)


@dataclass(slots=True)
class Fault:
    """Something that policy may refuse; `text` shows it."""

    kind: Literal["nesting", "encoding domain"]
    text: bytes


Event: TypeAlias = Field | Body | Fault


class Sections:
    """One message behind its own header."""

    def __init__(self, limits: SectionLimits) -> None:
        self._limits = limits
        self._kind: Kind | None = "primary"  # None in a body
        self._field = b""
        self._rest = b""
        self._fed = 0  # bytes, before those that wait
        self._field_start = 0
        self._within_line = False  # in the middle of a body line that is longer than a line may be
        self._skipping = False  # in the part of a header line that is not kept
        self._offset = 0
        self._stack: list[tuple[bytes, bool]] = []  # boundary, whether its parts are messages by default
        self._events: list[Event] = []
        self._begin_entity(digest=False)

    def _begin_entity(self, *, digest: bool) -> None:
        self._type = b"message" if digest else b"text"
        self._subtype = b"rfc822" if digest else b"plain"
        self._encoding = b"7bit"

    # --- input
    def note(self, field: bytes) -> list[Event]:
        """A field of the message's own header, with its line ends; what policy may refuse about it."""
        self._heed(field)
        return self._take()

    def feed(self, data: bytes) -> list[Event]:
        """Take a piece of content; what it completes."""
        data = self._rest + data if self._rest else data
        position, length = 0, len(data)
        while position < length:
            step = self._header if self._kind is not None and not self._within_line else self._body
            used = step(data, position)
            if used == _WAIT:
                break
            position += used
            self._fed += used
        self._rest = data[position:] if position else data
        return self._take()

    def finish(self) -> list[Event]:
        """The content is complete."""
        events: list[Event] = []
        if self._rest:
            events = self.feed(b"\n")  # which is taken off again where it shows
            if events and isinstance(last := events[-1], Body):
                last.data = last.data[:-1]
        self._end_field()
        return events + self._take()

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _emit(self, data: bytes, start: int) -> None:
        self._events.append(Body(data, self._offset, self._encoding, start))
        self._offset += len(data)

    # --- headers
    def _header(self, data: bytes, position: int) -> int:
        """Use one line of a header; how many bytes of it."""
        limit = self._limits.header_size
        end = data.find(b"\n", position) + 1
        if self._skipping:
            self._skipping = not end
            return (end or len(data)) - position
        if not end:
            if len(data) - position <= limit:
                return _WAIT
            end = position + limit
        line = data[position:end]
        if self._field and line[0] in b" \t":
            if len(self._field) < limit:
                self._field = (self._field + line)[:limit]
        elif NAME.match(line) and not self._delimiter(line, 0):
            self._end_field()
            self._field, self._field_start = line[:limit], self._fed
        else:
            self._end_field()
            if line in _EMPTY:
                self._end_header()
                self._emit(line, self._fed)
                return len(line)
            self._kind, self._offset = None, 0
            if not self._delimiter(line, 0):
                self._emit(b"\n", -1)
            return 0
        self._skipping = not line.endswith(b"\n")
        return len(line)

    def _end_field(self) -> None:
        field, self._field = self._field, b""
        if field:
            if not field.endswith(b"\n"):
                field += b"\n"
            self._heed(field)
            assert self._kind is not None
            self._events.append(Field(self._kind, field, self._field_start, self._fed))

    def _heed(self, field: bytes) -> None:
        """What a field says about the structure."""
        name = NAME.match(field)
        if name is None or not self._limits.mime:
            return
        word, value = name[1].lower(), field[name.end() :]
        if word == b"content-transfer-encoding":
            token = _TOKEN.match(value)
            if token is not None and token[1].lower() in _ENCODINGS:
                self._encoding = token[1].lower()
        elif word == b"content-type":
            self._type, self._subtype, boundaries = loose_content_type(value)
            if self._type == b"multipart":
                for boundary in boundaries:
                    if len(self._stack) >= self._limits.nesting:
                        self._events.append(Fault("nesting", field))
                    else:
                        self._stack.append((boundary[: self._limits.boundary_length], self._subtype == b"digest"))

    def _end_header(self) -> None:
        """The empty line behind a header: what comes next?"""
        kind, self._kind, self._offset = self._type, None, 0
        if kind == b"message":
            partial = self._subtype in (b"partial", b"external-body")
            if self._encoding != b"7bit" if partial else self._encoding not in _IDENTITY:
                self._events.append(Fault("encoding domain", self._encoding))
            if self._subtype in _MESSAGES:
                self._kind = "nested"
                self._begin_entity(digest=False)
        elif kind == b"multipart":
            if self._encoding not in _IDENTITY:
                self._events.append(Fault("encoding domain", self._encoding))
            self._encoding = b"7bit"

    # --- bodies
    def _body(self, data: bytes, position: int) -> int:
        """Use lines of a body, or a piece of a long one; how many bytes of it."""
        limit = self._limits.line_length
        if self._within_line:
            end = data.find(b"\n", position, position + limit + 1) + 1
        else:
            end = data.rfind(b"\n", position) + 1
        if not end:
            if len(data) - position <= limit:
                return _WAIT
            if not self._within_line and self._delimiter(data, position):
                self._pass_delimiter(data, position)
            self._within_line = True
            end = position + limit
        elif self._within_line:
            self._within_line = False
        elif self._stack:
            at = position if data.startswith(b"--", position) else data.find(b"\n--", position, end) + 1 or -1
            while at >= 0:
                if self._delimiter(data, at):
                    if at > position:
                        self._emit(data[position:at], self._fed)
                    self._pass_delimiter(data, at)
                    after = data.find(b"\n", at) + 1
                    self._emit(data[at:after], self._fed + at - position)
                    return after - position
                at = data.find(b"\n--", at, end) + 1 or -1
        self._emit(data[position:end], self._fed)
        return end - position

    def _delimiter(self, data: bytes, position: int) -> bool:
        """Whether the line at `position` is a delimiter of an open multipart."""
        if not data.startswith(b"--", position):
            return False
        position += 2
        return any(data.startswith(boundary, position) for boundary, _ in self._stack)

    def _pass_delimiter(self, data: bytes, position: int) -> None:
        """End parts up to the multipart that the delimiter belongs to, the innermost one; begin its next part."""
        position += 2
        while True:
            boundary, digest = self._stack[-1]
            if data.startswith(boundary, position):
                break
            self._stack.pop()
        self._offset = 0
        if data.startswith(b"--", position + len(boundary)):
            self._stack.pop()
            self._kind = None
            self._begin_entity(digest=False)
        else:
            self._kind = "multipart"
            self._begin_entity(digest=digest)


def checked_as(field: bytes, kind: Kind) -> Literal["header", "mime", "nested"]:
    """Which tables of header_checks(5) look at a field: those for MIME are asked about all in the headers of parts."""
    name = NAME.match(field)
    if kind == "multipart" or (name is not None and name[1].lower() in _MIME_FIELDS):
        return "mime"
    return "header" if kind == "primary" else "nested"


def lines(data: bytes) -> list[bytes]:
    """Lines with their ends, which are LF only, unlike those of bytes.splitlines."""
    if b"\r" not in data:
        return data.splitlines(keepends=True)
    found = data.split(b"\n")
    ended = [line + b"\n" for line in found[:-1]]
    return [*ended, found[-1]] if found[-1] else ended


def line_pieces(line: bytes, limit: int) -> Iterator[bytes]:
    """A line in pieces of at most so many bytes (0: whole), to be looked at one by one; the line end is no piece."""
    limit = limit or len(line)
    for start in range(0, len(line), limit):
        piece = line[start : start + limit]
        if start + limit < len(line) <= start + limit + 2 and _LINE_END.match(line, start + limit):
            piece = line[start:]
        elif start and _LINE_END.match(line, start):
            return
        yield piece


def line_end(piece: bytes) -> bytes:
    """How it ends: CR LF, LF or nothing."""
    found = _LINE_END.search(piece)
    return found[0] if found is not None else b""
