"""The scanner: from content in pieces to the part tree, in one pass.

It looks for two things only, both at the beginning of lines: the empty line that ends a header, and `--boundary`
delimiters of the multiparts that are open (RFC 2046 section 5.1.1).  Everything between is skipped with the speed of
`bytes.find`.  Content may have LF or CRLF line ends; offsets are counted as if every line ended in CRLF.

Bad mail: a part whose header is cut off by a delimiter has no body; a multipart that is never closed ends with the
delimiter of an outer one or with the message; a multipart without a boundary is plain text; after the closing
delimiter of a multipart its boundary means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pillarbox.lib.mime.envelope import Envelope, parse_envelope
from pillarbox.lib.mime.fields import DIGEST_PART, PLAIN_TEXT, ContentFields, parse_content_fields
from pillarbox.lib.mime.limits import HEADER_LIMIT, LINE_LIMIT, NESTING_LIMIT, PART_LIMIT
from pillarbox.lib.mime.part import Part

_HEADER_STOP = re.compile(rb"\n(?:--|\r?\n)")
_IDENTITY = {b"7bit", b"8bit", b"binary"}
NO_ENVELOPE = parse_envelope(b"")
_NEEDLE_LIMIT = 70
"""Octets of a boundary that are looked for (RFC 2046 section 5.1.1 allows no more): so much of the content is held."""
_TAIL = 4
"""Octets that may be the beginning of something: CR LF and `--`."""


class _Open:
    """A part whose end has not been seen."""

    __slots__ = ("body_start", "boundary", "children", "digest", "envelope", "fields", "first_line", "header_start")

    def __init__(self, header_start: int, line: int) -> None:
        self.header_start = self.body_start = header_start
        self.first_line = line
        self.fields = PLAIN_TEXT
        self.boundary = b""
        self.digest = False
        self.children: list[Part] = []
        self.envelope: Envelope | None = None


class Scanner:
    """Feed all content, then `finish`.  `wire`: every line end in it is known to be CRLF."""

    def __init__(self, *, wire: bool = False) -> None:
        self._all_crlf = wire
        # The message is read as if a line end stood before it, so that its first line begins like any other.
        self._buffer = b"\r\n"
        self._from = 1  # index of the LF before the next line to look at
        self._mark = 0  # index in the buffer up to which the wire offset and the lines are counted
        self._wire = -2
        self._line = -1
        self._stack: list[_Open] = []
        self._boundaries: dict[bytes, int] = {}  # boundary of each open multipart -> its place in the stack
        self._needle = b"\n--"  # how every line begins that can be a delimiter: long ones are found much more quickly
        self._header: list[bytes] | None = None  # pieces of the header being read; None while in a body
        self._header_size = 0
        self._parts = 0
        self._root: Part | None = None
        self._begin_entity(0)

    # --- counting
    def _count_to(self, index: int) -> None:
        """Move the mark; `index` is never between CR and LF."""
        buffer, mark = self._buffer, self._mark
        ends = buffer.count(b"\n", mark, index)
        # One octet is counted many times as quickly as two.
        bare = ends - buffer.count(b"\r\n", mark, index) if ends and not self._all_crlf else 0
        self._wire += index - mark + bare
        self._line += ends
        self._mark = index

    # --- input
    def feed(self, data: bytes) -> None:
        """Take a piece of content of any size."""
        self._buffer = self._buffer + data if self._buffer else data
        self._run(final=False)
        self._drop()

    def finish(self) -> Part:
        """The content is complete."""
        if self._root is None:
            self._run(final=True)
            end = len(self._buffer)
            if self._header is not None:
                self._count_to(end)
                self._end_header(end)
            self._count_to(end)
            self._close_above(-1, self._wire, self._line)
        assert self._root is not None
        return self._root

    def _drop(self) -> None:
        """Forget what has been looked at."""
        keep = min(self._from, max(0, len(self._buffer) - _TAIL))
        if keep and self._buffer[keep - 1 : keep] == b"\r":
            keep -= 1
        if keep <= 0:
            return
        if keep > self._mark:
            if self._header is not None:
                self._keep_header(keep)
            self._count_to(keep)
        keep = min(keep, self._mark)
        self._buffer = self._buffer[keep:]
        self._from -= keep
        self._mark -= keep

    # --- the two states
    def _run(self, final: bool) -> None:
        while self._step_header(final) if self._header is not None else self._step_body(final):
            pass

    def _step_body(self, final: bool) -> bool:
        """Look for the next delimiter; False when more input is needed."""
        if not self._boundaries:
            self._from = max(self._from, len(self._buffer) - _TAIL)
            return False
        start = self._from
        while True:
            found = self._buffer.find(self._needle, start)
            if found < 0:
                self._from = max(start, len(self._buffer) + 1 - len(self._needle))
                return False
            match self._delimiter(found, final):
                case None:
                    self._from = found
                    return False
                case (level, closing, after):
                    self._take_delimiter(found, level, closing, after)
                    return True
                case _:
                    start = found + 3

    def _step_header(self, final: bool) -> bool:
        """Look for the end of the header; False when more input is needed."""
        start = self._from
        while True:
            stop = _HEADER_STOP.search(self._buffer, start)
            if stop is None:
                self._from = max(start, len(self._buffer) - 3)
                return False
            if self._buffer.startswith(b"--", stop.start() + 1):
                match self._delimiter(stop.start(), final):
                    case None:
                        self._from = stop.start()
                        return False
                    case (level, closing, after):
                        self._end_header(self._line_end(stop.start()))
                        self._take_delimiter(stop.start(), level, closing, after)
                        return True
                    case _:
                        start = stop.start() + 3
                        continue
            self._end_header(stop.end())
            self._from = stop.end() - 1
            return True

    def _delimiter(self, line_feed: int, final: bool) -> tuple[int, bool, int] | bool | None:
        """Of the line after `line_feed`: (level, closing, index of its LF), False if it is none, None to wait."""
        buffer = self._buffer
        start = line_feed + 3
        end = buffer.find(b"\n", start, start + LINE_LIMIT)
        if end < 0:
            if len(buffer) - start >= LINE_LIMIT:
                return False
            if not final:
                return None
            end = len(buffer)
        line = buffer[start:end].rstrip(b" \t\r")
        level = self._boundaries.get(line)
        if level is not None:
            return level, False, end
        if line.endswith(b"--") and (level := self._boundaries.get(line[:-2])) is not None:
            return level, True, end
        return False

    def _line_end(self, line_feed: int) -> int:
        """Where the line end begins whose LF is at `line_feed`."""
        if line_feed > 0 and self._buffer[line_feed - 1] == 13:
            line_feed -= 1
        return max(line_feed, self._mark)

    # --- building the tree
    def _begin_entity(self, wire: int) -> None:
        self._parts += 1
        self._stack.append(_Open(wire, self._line))
        self._header = []
        self._header_size = 0

    def _keep_header(self, end: int) -> None:
        assert self._header is not None
        if self._header_size < HEADER_LIMIT:
            piece = self._buffer[self._mark : end]
            self._header.append(piece[: HEADER_LIMIT - self._header_size])
            self._header_size += len(piece)

    def _end_header(self, end: int) -> None:
        """The header ends before `end`: decide what the part is."""
        self._keep_header(end)
        assert self._header is not None
        header = b"".join(self._header)
        self._header = None
        self._count_to(end)
        part = self._stack[-1]
        part.body_start, part.first_line = self._wire, self._line
        digest = len(self._stack) > 1 and self._stack[-2].digest
        part.fields = fields = parse_content_fields(header, DIGEST_PART if digest else PLAIN_TEXT)
        if len(self._stack) > 1 and self._stack[-2].fields.type == b"message":
            self._stack[-2].envelope = parse_envelope(header)
        room = len(self._stack) < NESTING_LIMIT and self._parts < PART_LIMIT
        if fields.type == b"multipart":
            part.boundary = fields.boundary if room else b""
            if part.boundary:
                part.digest = fields.subtype == b"digest"
                self._boundaries[part.boundary] = len(self._stack) - 1
                self._aim()
            else:
                part.fields = _opaque(fields, PLAIN_TEXT if room else _BINARY)
        elif fields.type == b"message" and fields.subtype == b"rfc822":
            if room and fields.encoding in _IDENTITY:
                self._begin_entity(self._wire)
            else:
                part.fields = _opaque(fields, _BINARY)

    def _take_delimiter(self, line_feed: int, level: int, closing: bool, after: int) -> None:
        """A delimiter of the multipart at `level` begins after `line_feed`; `after` is the index of its own LF."""
        self._header = None
        self._count_to(self._line_end(line_feed))
        self._close_above(level, self._wire, self._line)
        end = after
        if after > 0 and self._buffer[after - 1 : after] == b"\r":
            end = after - 1
        self._from = after
        multipart = self._stack[level]
        if closing or self._parts >= PART_LIMIT:
            self._count_to(end)
            del self._boundaries[multipart.boundary]
            multipart.boundary = b""
            self._restore_boundaries()
            return
        self._count_to(min(after + 1, len(self._buffer)))
        self._begin_entity(self._wire)

    def _restore_boundaries(self) -> None:
        """After an inner multipart closed: the same boundary may belong to an outer one."""
        for level, part in enumerate(self._stack):
            if part.boundary and part.boundary not in self._boundaries:
                self._boundaries[part.boundary] = level
        self._aim()

    def _aim(self) -> None:
        """The boundaries have changed."""
        first, last = min(self._boundaries, default=b""), max(self._boundaries, default=b"")
        size = min(len(first), len(last), _NEEDLE_LIMIT)
        alike = next((at for at in range(size) if first[at] != last[at]), size)
        self._needle = b"\n--" + first[:alike]

    def _close_above(self, level: int, wire: int, line: int) -> None:
        """All parts above `level` in the stack end here."""
        while len(self._stack) > level + 1:
            part = self._stack.pop()
            if part.boundary:
                del self._boundaries[part.boundary]
                self._restore_boundaries()
            closed = _close(part, wire, line)
            if self._stack:
                self._stack[-1].children.append(closed)
            else:
                self._root = closed


_BINARY = ContentFields(type=b"application", subtype=b"octet-stream", parameters=())


def _opaque(fields: ContentFields, kind: ContentFields) -> ContentFields:
    """The fields of a part that cannot be shown as the container that it claims to be."""
    return ContentFields(
        type=kind.type,
        subtype=kind.subtype,
        parameters=kind.parameters,
        encoding=fields.encoding,
        content_id=fields.content_id,
        description=fields.description,
        md5=fields.md5,
        disposition=fields.disposition,
        language=fields.language,
        location=fields.location,
    )


def _close(part: _Open, wire: int, line: int) -> Part:
    fields = part.fields
    body_start = min(part.body_start, wire)
    children = tuple(part.children)
    if fields.type == b"multipart" and not children:
        # A multipart without a part: the grammar wants one, so it shows an empty text.
        empty = PLAIN_TEXT
        children = (Part(empty.type, empty.subtype, empty.parameters, wire, wire, wire, 0),)
    return Part(
        type=fields.type,
        subtype=fields.subtype,
        parameters=fields.parameters,
        header_start=part.header_start,
        body_start=body_start,
        end=max(wire, body_start),
        lines=max(0, line - part.first_line),
        encoding=fields.encoding,
        content_id=fields.content_id,
        description=fields.description,
        md5=fields.md5,
        disposition=fields.disposition,
        language=fields.language,
        location=fields.location,
        children=children,
        envelope=(part.envelope or NO_ENVELOPE) if children and fields.type == b"message" else None,
    )


def scan_message(chunks: Iterable[bytes], *, wire: bool = False) -> Part:
    """The tree of a message given in pieces; `wire`: all its line ends are CRLF, as those of a store's `chunks` are."""
    scanner = Scanner(wire=wire)
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.finish()
