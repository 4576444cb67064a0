"""The parts of a message as tests see them (RFC 5173, 5703): read once, when the first test looks into the body.

Promises: memory is bounded by `Limits.body_size`; line ends are CRLF whatever the store writes; broken mail gives parts
like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.mime.charset import decode_text
from pillarbox.lib.mime.decoding import decode_transfer
from pillarbox.lib.mime.part import Part
from pillarbox.lib.mime.scan import scan_message
from pillarbox.lib.sieve.header import Header
from pillarbox.lib.sieve.html_text import html_text
from pillarbox.lib.sieve.limits import Limits
from pillarbox.lib.sieve.state import SieveMessage


class Entity:
    """The message, or one of its parts."""

    __slots__ = ("_children", "_data", "_header", "_own", "_readable", "_text", "part")

    def __init__(self, data: bytes, part: Part) -> None:
        self._data = data
        self.part = part
        self._header: Header | None = None
        self._text: str | None = None
        self._readable: str | None = None
        self._children: tuple[Entity, ...] | None = None
        self._own: tuple[str, ...] | None = None

    @property
    def header(self) -> Header:
        """Its header."""
        if self._header is None:
            self._header = Header(self._data[self.part.header_start : self.part.body_start])
        return self._header

    @property
    def children(self) -> tuple[Entity, ...]:
        """The parts of a multipart, the message in a message/rfc822."""
        if self._children is None:
            self._children = tuple(Entity(self._data, part) for part in self.part.children)
        return self._children

    def walk(self) -> Iterator[Entity]:
        """This part and all that is in it, in the order of the message."""
        stack = [self]
        while stack:
            each = stack.pop()
            yield each
            stack.extend(reversed(each.children))

    def raw(self) -> bytes:
        """Its body as it was sent."""
        return self._data[self.part.body_start : self.part.end]

    def decoded(self) -> Iterator[bytes]:
        """The octets of its body, the transfer encoding undone."""
        return decode_transfer(self.part.encoding, (self.raw(),))

    def text(self) -> str:
        """Its body as text: that of a text part by its charset, of others by UTF-8 or octet for octet."""
        if self._text is None:
            charset = next((value for name, value in self.part.parameters if name == b"charset"), b"")
            if self.part.type == b"text" and charset.lower() not in (b"", b"us-ascii"):
                self._text = "".join(decode_text(charset.decode("latin-1"), self.decoded()))
            else:
                self._text = octets_as_text(b"".join(self.decoded()))
        return self._text

    def readable(self) -> str:
        """Its text as people see it: without the marks of HTML."""
        if self._readable is None:
            text = self.text()
            self._readable = html_text(text) if self.part.subtype == b"html" else text
        return self._readable

    def own(self) -> tuple[str, ...]:
        """What of its body is in no other part, as texts (RFC 5173 section 5.2)."""
        if self._own is None:
            if self.part.is_multipart:
                self._own = tuple(map(octets_as_text, self._around()))
            elif self.part.is_message:
                child = self.children[0].part
                header = self.raw()[: child.body_start - self.part.body_start]
                self._own = (octets_as_text(header.removesuffix(b"\r\n") if header.endswith(b"\r\n\r\n") else header),)
            else:
                self._own = (self.text(),)
        return self._own

    def _around(self) -> tuple[bytes, bytes]:
        """What stands before the first and behind the last part of a multipart."""
        children = self.part.children
        if not children:
            return self.raw(), b""
        before = self._data[self.part.body_start : children[0].header_start]
        after = self._data[children[-1].end : self.part.end]
        # The delimiters belong to neither.
        return before[: max(0, before.rfind(b"--"))], after[2:].partition(b"\r\n")[2]


class Content:
    """All of a message, read when it is asked for."""

    __slots__ = ("_body_start", "_data", "_limit", "_message", "_parts", "_readable", "_root", "_text", "_there")

    def __init__(self, message: SieveMessage, limits: Limits) -> None:
        self._message = message
        self._limit = limits.body_size
        self._data: bytes | None = None
        self._body_start = 0
        self._there = False
        self._root: Entity | None = None
        self._parts: tuple[Entity, ...] = ()
        self._readable: tuple[str, ...] | None = None
        self._text: str | None = None

    @property
    def data(self) -> bytes:
        """Header and body."""
        if self._data is None:
            header = _crlf(self._message.header) + b"\r\n"
            pieces: list[bytes] = []
            size = 0
            for piece in self._message.body():
                self._there = True
                pieces.append(piece[: self._limit - size])
                size += len(pieces[-1])
                if size >= self._limit:
                    break
            self._body_start = len(header)
            self._data = header + _crlf(b"".join(pieces))
        return self._data

    @property
    def has_body(self) -> bool:
        """Whether there is one, if only an empty one (RFC 5173 section 4)."""
        return bool(self.data) and self._there

    @property
    def text(self) -> str:
        """The body as it was sent, as text."""
        if self._text is None:
            data = self.data
            self._text = octets_as_text(data[self._body_start :])
        return self._text

    @property
    def root(self) -> Entity:
        """The message as a part."""
        if self._root is None:
            self._root = Entity(self.data, scan_message((self.data,)))
        return self._root

    @property
    def parts(self) -> tuple[Entity, ...]:
        """The message and all that is in it, in the order of the message."""
        if not self._parts:
            self._parts = tuple(self.root.walk())
        return self._parts

    @property
    def readable(self) -> tuple[str, ...]:
        """The texts of its parts that are text, as people see them."""
        if self._readable is None:
            self._readable = tuple(part.readable() for part in self.parts if part.part.type == b"text")
        return self._readable


def octets_as_text(data: bytes) -> str:
    """UTF-8 where it is UTF-8, else each octet a character."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
