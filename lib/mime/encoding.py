"""Content-Transfer-Encoding applied in pieces (RFC 2045 section 6): quoted-printable and base64, lines end in LF.

A body is either *text*, whose lines end in LF and stand for CRLF on the wire, or *exact*: octets as they came, of which
only CRLF is a line end.
"""

from __future__ import annotations

import binascii
import re

_LINE_ROOM = 57
"""Octets of one line of base64: 76 characters (RFC 2045 section 6.8)."""

_PIECE = 16 * 1024
"""Octets of a line without end that are kept before a part of it is written."""

_BARE = re.compile(rb"(?<!\r)\n")


class QuotedPrintable:
    """RFC 2045 section 6.7."""

    def __init__(self, *, exact: bool) -> None:
        self._end = b"\r\n" if exact else b"\n"
        self._rest = b""

    def encode(self, data: bytes) -> bytes:
        """The encoded form of the lines that `data` completes."""
        lines = (self._rest + data).split(self._end)
        rest = lines.pop()
        encoded = [_quoted(line) + b"\n" for line in lines]
        if len(rest) > _PIECE:
            cut = len(rest) - 1 if rest.endswith(b"\r") else len(rest)
            encoded.append(_quoted(rest[:cut]) + b"=\n")
            rest = rest[cut:]
        self._rest = rest
        return b"".join(encoded)

    def finish(self) -> bytes:
        """What is left: a line without end."""
        rest, self._rest = self._rest, b""
        return _quoted(rest)


def _quoted(line: bytes) -> bytes:
    """One line, or a piece of it; what stands at its end is safe from those who trim blanks."""
    return binascii.b2a_qp(line, istext=False)


class Base64:
    """RFC 2045 section 6.8.  There is no line end behind the last line."""

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._rest = b""
        self._first = True

    def encode(self, data: bytes) -> bytes:
        """The encoded form of whole lines."""
        if not self._exact:
            data = data.replace(b"\n", b"\r\n")
        data = self._rest + data
        usable = len(data) - len(data) % _LINE_ROOM
        self._rest = data[usable:]
        return b"".join([self._line(data[at : at + _LINE_ROOM]) for at in range(0, usable, _LINE_ROOM)])

    def _line(self, octets: bytes) -> bytes:
        begin, self._first = b"" if self._first else b"\n", False
        return begin + binascii.b2a_base64(octets, newline=False)

    def finish(self) -> bytes:
        """What is left."""
        rest, self._rest = self._rest, b""
        return self._line(rest) if rest else b""


class Survey:
    """What octets of a body forbid to send it as lines of text: fed with its pieces."""

    def __init__(self, *, exact: bool) -> None:
        self.eight_bit = False
        self.unlike_text = False
        """NUL, a lone CR, a lone LF among exact octets, or a line that is too long."""
        self._exact = exact
        self._column = 0
        self._last = b""

    def look(self, data: bytes, limit: int) -> None:
        """Take a piece; lines of more than `limit` octets are too long."""
        if not data:
            return
        self.eight_bit = self.eight_bit or not data.isascii()
        if not self.unlike_text:
            self.unlike_text = self._is_unlike_text(self._last + data)
        first = data.find(b"\n")
        if first < 0:
            self._column += len(data)
            longest = self._column
        else:
            lines = data.split(b"\n")
            longest = max(self._column + len(lines[0]), *map(len, lines[1:]))
            self._column = len(lines[-1])
        if longest > limit + 1:  # a CR may be among them
            self.unlike_text = True
        self._last = data[-1:]

    def _is_unlike_text(self, data: bytes) -> bool:
        """`data` begins with the last octet of the piece before."""
        if b"\0" in data:
            return True
        if b"\r" in data:
            whole = data[:-1] if data.endswith(b"\r") else data  # the LF of the last one may follow
            if whole.count(b"\r") != whole.count(b"\r\n"):
                return True
        return self._exact and _BARE.search(data, 1 if self._last else 0) is not None

    def finish(self) -> None:
        """There is no more."""
        if self._last == b"\r":
            self.unlike_text = True
