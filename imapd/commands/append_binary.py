"""Messages with NUL or bare LF (literal8, RFC 3516 section 4.4): kept aside, and stored as lines of text.

Mailboxes hold lines of text.  So the parts that are none get another transfer encoding, which the RFC allows where no
data is lost: base64, or quoted-printable for text.  What a part decodes to stays the same.  Signed parts, headers with
NUL and parts whose encoding nobody knows cannot be changed: UNKNOWN-CTE.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Final

from pillarbox.imapd.protocol.errors import CommandFailed
from pillarbox.lib.mime.downgrade import Target, Unconvertible, convert

IN_MEMORY: Final = 64 * 1024
"""Octets of a message that are kept in memory; more are in a file without a name."""

WITHOUT_FILE: Final = 1 << 20
"""The most that is kept of a message where the store has no place for a file."""

_PIECE: Final = 64 * 1024


def unknown_encoding(why: str) -> CommandFailed:
    """The answer to a message that cannot be stored."""
    return CommandFailed(f"The message cannot be stored as lines of text: {why}.", "UNKNOWN-CTE")


class Scratch:
    """The octets of one message as they came."""

    def __init__(self, directory: str | None) -> None:
        """`directory` is where a file may be, if anywhere (`Store.scratch_directory`)."""
        self._limit = 0 if directory else WITHOUT_FILE
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY if directory else 0, dir=directory)
        self._size = 0
        self.complete = True
        """Whether all that was written is here; a full disk, or too much, must not fail a message that is text."""

    def write(self, data: bytes) -> None:
        """Keep it, if there is room."""
        if not self.complete:
            return
        self._size += len(data)
        try:
            if self._limit and self._size > self._limit:
                raise OSError("no room")
            self._file.write(data)
        except OSError:
            self.complete = False
            self.close()

    def _pieces(self) -> Iterator[bytes]:
        at = 0
        while at < self._size:
            self._file.seek(at)
            piece = self._file.read(_PIECE)
            at += len(piece)
            yield piece

    def as_text(self) -> Iterator[bytes]:
        """The message in lines.  Raises CommandFailed; it is gone through once before anything comes."""
        if not self.complete:
            raise unknown_encoding("it is too large to be converted here")
        try:
            return _without_nul(convert(self._pieces, Target.EIGHT_BIT, exact=True))
        except Unconvertible as error:
            raise unknown_encoding(str(error)) from None

    def close(self) -> None:
        """Throw it away."""
        self._file.close()


def _without_nul(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces.  Raises CommandFailed at the first NUL, which is in a header or between parts."""
    for piece in pieces:
        if b"\0" in piece:
            raise unknown_encoding("there is NUL outside of its parts")
        yield piece
