"""COMPRESS=DEFLATE (RFC 4978), also against what inflates without end."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

from pillarbox.imapd.session.compression import PIECE, Compression
from tests.imap.dialogue import MESSAGE, Client, location, run


class Deflated(Client):
    """A client that goes on compressed after COMPRESS."""

    def compress(self) -> None:
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)

    async def send(self, data: bytes) -> None:
        if hasattr(self, "_deflate"):
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await super().send(data)

    async def _more(self) -> bool:
        data = await self._loop.sock_recv(self.socket, 65536)
        self._buffer += self._inflate.decompress(data) if hasattr(self, "_inflate") else data
        return bool(data)


async def compressed(tmp_path: Path, **parameters: str) -> Deflated:
    client = Deflated(location(tmp_path), **parameters)
    assert (await client.command("COMPRESS DEFLATE"))[-1] == b"OK DEFLATE active."
    client.compress()
    return client


def test_a_session_goes_on_compressed(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await compressed(tmp_path)
        await client.ok("APPEND INBOX", MESSAGE * 50)
        await client.ok("SELECT INBOX")
        assert MESSAGE * 50 in (await client.ok("FETCH 1 BODY.PEEK[]"))[0]
        assert (await client.command("COMPRESS DEFLATE"))[-1].startswith(b"NO [COMPRESSIONACTIVE]")
        await client.send(b"a IDLE\r\n")
        assert (await client.line()).startswith(b"+")
        await client.send(b"DONE\r\n")
        assert (await client.line()).startswith(b"a OK")
        assert (await client.ok("LOGOUT"))[0].startswith(b"* BYE")
        assert await client.line() == b""

    run(dialogue())


def test_other_kinds_are_bad(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        for command in ("COMPRESS", "COMPRESS GZIP", "COMPRESS DEFLATE x"):
            assert (await client.command(command))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_what_is_no_deflate_ends_the_session(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await compressed(tmp_path)
        await Client.send(client, b"\xff" * 100)
        assert not await client._more()

    run(dialogue())


def test_commands_behind_the_command_are_compressed(tmp_path: Path) -> None:
    """What comes in one packet with it, as some clients send, is taken for compressed."""

    async def dialogue() -> None:
        client = Deflated(location(tmp_path))
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(b"b NOOP\r\n") + packer.flush(zlib.Z_SYNC_FLUSH)
        await client.send(b"a COMPRESS DEFLATE\r\n" + packed)
        assert (await client.line()).startswith(b"a OK")
        client.compress()
        if client._buffer:
            client._buffer = client._inflate.decompress(client._buffer)
        assert (await client.line()).startswith(b"b OK")
        await client.close()

    run(dialogue())


def test_a_bomb_is_taken_in_pieces_and_its_line_is_bad(tmp_path: Path) -> None:
    """64 MB in a line of 64 kB on the wire: an overlong line like any other, and the session lives."""

    async def dialogue() -> None:
        client = await compressed(tmp_path)
        await client.send(b"a " + b"x" * (64 << 20) + b"\r\n")
        assert (await client.line()).startswith(b"a BAD")
        await client.ok("NOOP")
        await client.close()

    run(dialogue())


def test_never_more_than_a_piece_is_inflated() -> None:
    class Wire:
        def __init__(self) -> None:
            packer = zlib.compressobj(wbits=-15)
            self.data = packer.compress(bytes(10 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)

        async def read_some(self) -> bytes:
            data, self.data = self.data, b""
            return data

    async def sizes() -> list[int]:
        compression = Compression(Wire())  # type: ignore[arg-type]
        return [len(await compression.read_some()) for _ in range((10 << 20) // PIECE)]

    assert asyncio.run(sizes()) == [PIECE] * ((10 << 20) // PIECE)
