"""Where the header of a message ends: gathered until then, because rules look at it as a whole.

Promises: the same header and rest come however the content is cut; what is gathered never grows beyond the limit; time
is linear.
"""

from __future__ import annotations

import re

from pillarbox.cleanup.header import fields_end
from pillarbox.lib.mime.sections import NAME

NAME_LIMIT = 998
"""Bytes of a line without a colon that may still become a field's name (RFC 5322 section 2.1.1)."""

_NAME_SO_FAR = re.compile(rb"[!-9;-~]*[ \t]*")


class HeaderTooLarge(Exception):
    """The header block has more bytes than it may have."""


class Head:
    """The beginning of one message.  `limit` is in bytes; 0 = none."""

    __slots__ = ("_data", "_from", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._from = 0

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return len(self._data)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take a piece of content; where it completes the header: the header (each line with its LF) and what follows,
        from the empty line on.  Raises HeaderTooLarge."""
        self._data += data  # in place: a header may come octet by octet
        return self._cut(final=False)

    def finish(self) -> tuple[bytes, bytes]:
        """The content has ended: all of it is header, as far as it looks like one."""
        if self._data and not self._data.endswith(b"\n"):
            self._data += b"\n"
        found = self._cut(final=True)
        assert found is not None
        return found

    def _cut(self, *, final: bool) -> tuple[bytes, bytes] | None:
        data: bytes | bytearray = self._data
        limit = self._limit
        if data.startswith(b"\n"):
            end = 0
        else:
            found = data.find(b"\n\n", self._from)
            if found >= 0:
                end = found + 1
            elif final or len(data) > limit > 0:
                end = len(data)
            else:
                self._from = max(0, len(data) - 1)
                return None
        data = bytes(data)
        fields = fields_end(data[:end])
        # A line that is no field ends the header as well; the empty line that belongs there is missing.
        rest = data[end:] if fields == end else b"\n" + data[fields:]
        if fields < end and not final and b"\n" not in data[fields:end]:
            # Beyond the limit, in the middle of a line: of a field, or of text that never was one.
            line = data[fields:end]
            if NAME.match(line) or (fields and line[:1] in (b" ", b"\t")):
                raise HeaderTooLarge
            if len(line) <= NAME_LIMIT and _NAME_SO_FAR.fullmatch(line):
                return None  # the colon may be yet to come
        if fields > limit > 0:
            raise HeaderTooLarge
        return data[:fields], rest
