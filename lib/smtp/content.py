"""Content off the wire: the decoders of DATA (RFC 5321 section 4.5.2) and BDAT (RFC 3030).

Promises: whatever the pieces, the same content comes out, with LF line ends; no loop over lines, so that the cost is
that of a few memory searches; what is held back between two pieces is at most four bytes.

Only CR LF "." CR LF ends DATA, which closes the door to smuggling (two servers that disagree where a message ends).
A lone LF inside is, by smtpd_forbid_bare_newline:
    normalize   a line end like CR LF, except that it takes no part in the end of data
    note        the same, and remembered in `bare_newline`; the log says so when the message has ended
    reject      the same, and the server refuses the message when it has ended
    no          a line end in every respect, also of the end of data (what servers did before 2024; unsafe)
A lone CR is content.
"""

from __future__ import annotations

import re
from typing import Final, Literal

BareNewline = Literal["normalize", "note", "reject", "no"]

WATCHED: Final = frozenset(("note", "reject"))
"""The settings for which decoders remember a lone LF."""

_END: Final = b"\r\n.\r\n"
_LENIENT_END: Final = re.compile(rb"\n\.\r?\n")
# What may be the beginning of CRLF, of a dot to remove or of the end, at the end of a piece.
_HELD: Final = re.compile(rb"(?:\r?\n(?:\.\r?)?|\r)\Z")


class DataDecoder:
    """One DATA content.  After `done`, `feed` must not be called again."""

    __slots__ = ("_first", "_held", "_lenient", "_watch", "bare_newline", "done", "rest")

    def __init__(self, bare_newline: BareNewline = "normalize") -> None:
        # The content begins as if after a CRLF: a "." in the first line is a dot like any other.  The LF that this
        # puts in front is taken off the first output.
        self._held = b"\r\n"
        self._first = True
        self._lenient = bare_newline == "no"
        self._watch = bare_newline in WATCHED
        self.bare_newline = False
        self.done = False
        self.rest = b""
        """After the end: the bytes behind it, which are commands."""

    def feed(self, data: bytes) -> bytes:
        """Content decoded from the next piece; b"" where nothing is certain yet."""
        block = self._held + data if self._held else data
        if self._lenient:
            match = _LENIENT_END.search(block)
            end, after = (match.start() + 1, match.end()) if match else (-1, -1)
        else:
            end = block.find(_END)
            if end >= 0:
                end, after = end + 2, end + 5
        if end >= 0:
            self.done = True
            self.rest = block[after:]
            self._held = b""
            block = block[:end]
        else:
            # The end would have been found, so what is held never grows past CR LF "." CR.
            if block[-1:] in b"\r\n." and (held := _HELD.search(block, max(0, len(block) - 4))):
                self._held = held[0]
                block = block[: held.start()]
            else:
                self._held = b""
        if not block:
            return b""
        return self._decode(block)

    def _decode(self, block: bytes) -> bytes:
        if self._watch and block.count(b"\n") != block.count(b"\r\n"):
            self.bare_newline = True
        block = block.replace(b"\r\n", b"\n")
        if b"\n." in block:
            block = block.replace(b"\n.", b"\n")
        if self._first:
            self._first = False
            return block[1:]
        return block


class ChunkDecoder:
    """The content of one transaction's BDAT chunks, taken as one text."""

    __slots__ = ("_at_line_start", "_held", "_watch", "bare_newline")

    def __init__(self, bare_newline: BareNewline = "normalize") -> None:
        self._held = False  # the last octet was a CR
        self._at_line_start = True
        self._watch = bare_newline in WATCHED
        self.bare_newline = False

    def feed(self, data: bytes) -> bytes:
        """Content decoded from the next octets."""
        if self._held:
            data = b"\r" + data
        self._held = data[-1:] == b"\r"
        if self._held:
            data = data[:-1]
        if self._watch and data.count(b"\n") != data.count(b"\r\n"):
            self.bare_newline = True
        data = data.replace(b"\r\n", b"\n")
        if data:
            self._at_line_start = data[-1] == 10
        return data

    def finish(self) -> bytes:
        """What remains after the last chunk: a CR that was held, and the line end that a text must have."""
        tail = b"\r\n" if self._held else b"" if self._at_line_start else b"\n"
        self._held = False
        self._at_line_start = True
        return tail
