"""DEFLATE on a connection (RFC 4978): what is read is inflated, what is written deflated.

Promises: a session takes at most about 110 kB more (32 kB window and 10 kB for reading, 64 kB for writing).  However
much a few octets inflate to, at most `PIECE` of it is held at a time, and other sessions have their turn in between.
"""

from __future__ import annotations

import asyncio
import zlib

from pillarbox.lib.login import ClientConnection, ClientGone

PIECE = 32 * 1024
"""Octets that are inflated at a time."""

_LEVEL = 3
"""Mail is text or base64: higher levels take twice the time for a few percent."""

_WINDOW, _MEMORY = 13, 6
"""A window of 8 kB: 64 kB of memory in all, 2**(window+2) + 2**(memory+9), where the usual choice takes 256 kB."""


class Compression:
    """Stands in for the connection once COMPRESS has been answered."""

    def __init__(self, connection: ClientConnection, pending: bytes = b"") -> None:
        """`pending` is what came behind the command: compressed already."""
        self._connection = connection
        self._pending = pending
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW, _MEMORY)

    async def read_some(self) -> bytes:
        """What has come, inflated: at least one octet, `PIECE` at most.  Raises ClientGone."""
        held = bool(self._pending)
        while True:
            if self._pending:
                if held:
                    await asyncio.sleep(0)
                try:
                    data = self._inflate.decompress(self._pending, PIECE)
                except zlib.error:
                    raise ClientGone("sent what is no DEFLATE") from None
                self._pending = self._inflate.unconsumed_tail
                if self._inflate.eof:
                    raise ClientGone("ended the compressed stream")
                if data:
                    return data
            held = False
            self._pending = await self._connection.read_some()

    async def write(self, data: bytes) -> None:
        """Send; the client can read all of it.  Raises ClientGone."""
        packed = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._connection.write(packed)

    async def write_pieces(self, pieces: list[bytes]) -> None:
        """As `write`."""
        await self.write(b"".join(pieces))
