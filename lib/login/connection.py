"""A client's connection in the login part: bytes and lines in, bytes out, TLS when asked for.

Written on the non-blocking socket and `ssl.SSLObject` rather than on an asyncio transport, because a connection in
clear text must be given away whole: descriptor and unread bytes, with nothing left in a transport's buffers.

Limits: `read_line` never keeps more than its limit; at most `READ_SIZE` bytes are taken from the socket unasked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from pillarbox.lib.tls import cipher_text

READ_SIZE = 32 * 1024
"""Bytes taken in one read."""

_PIECES = 1000
"""What one sendmsg(2) takes (IOV_MAX is 1024)."""


class ClientGone(Exception):
    """The client closed the connection or it broke."""


class LineTooLong(Exception):
    """A line is longer than the limit; what came of it has been dropped."""


class ClientConnection:
    """One client.  One task reads; any task may write."""

    __slots__ = (
        *("socket", "encrypted", "tls_text", "buffer", "client_address", "client_port", "local_address", "local_port"),
        *("_loop", "_tls", "_incoming", "_outgoing", "_readable", "_watched", "_sending", "_interruption"),
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.encrypted = False
        self.tls_text = ""
        """`TLSv1.3 with cipher ...` once TLS runs."""
        self.buffer = b""
        """Bytes that came and nobody has read (decrypted)."""
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject | None = None
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO  # both with the handshake: most sessions do without
        self._readable: asyncio.Future[None] | None = None
        self._watched = False  # the loop looks at the socket: kept while the next read is near, it costs less so
        self._sending: asyncio.Lock
        self._interruption: Exception | None = None
        self.client_address, self.client_port = _address(sock.getpeername())
        self.local_address, self.local_port = _address(sock.getsockname())
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def tls_session(self) -> ssl.SSLObject | None:
        """The TLS session, once its handshake is done."""
        return self._tls

    # --- reading
    def interrupt(self, error: Exception, *, replace: bool = True) -> None:
        """Make the read under way, or the next one, raise `error` once.

        Where another interruption waits already, `replace` says which of the two is to be met.
        """
        if self._readable is not None and not self._readable.done():
            self._readable.set_exception(error)
        elif replace or self._interruption is None:
            self._interruption = error

    def cancel_interruption(self, kind: type[Exception] = Exception) -> None:
        """Forget an interruption of this kind that nobody has met."""
        if isinstance(self._interruption, kind):
            self._interruption = None

    async def _wait_readable(self) -> None:
        self._readable = self._loop.create_future()
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self.socket.fileno(), self._wake)
        try:
            await self._readable
        finally:
            self._readable = None

    def _wake(self) -> None:
        if self._readable is None:
            self._watch_no_more()  # something came that nobody waits for; it would wake us again and again
        elif not self._readable.done():
            self._readable.set_result(None)

    def _watch_no_more(self) -> None:
        if self._watched:
            self._watched = False
            if self.socket.fileno() >= 0:
                self._loop.remove_reader(self.socket.fileno())

    async def _receive(self) -> bytes:
        """Bytes from the socket, b"" at the end of the stream."""
        while True:
            if self._interruption is not None:
                error, self._interruption = self._interruption, None
                raise error
            try:
                return self.socket.recv(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                await self._wait_readable()
            except OSError as error:
                raise ClientGone(error.strerror or str(error)) from None

    async def read_some(self) -> bytes:
        """What has come, at least one byte.  Raises ClientGone."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        if self._tls is None:
            data = await self._receive()
            if not data:
                raise ClientGone("closed by the client")
            return data
        while True:
            try:
                data = self._tls.read(READ_SIZE)
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError as error:
                raise ClientGone(f"TLS: {error.reason or error}") from None
            else:
                if not data:
                    raise ClientGone("closed by the client")
                return data
            encrypted = await self._receive()
            if not encrypted:
                raise ClientGone("closed by the client")
            self._incoming.write(encrypted)

    async def read_line(self, limit: int) -> bytes:
        """A line without its line end (CRLF or LF).  Raises LineTooLong, ClientGone."""
        line = await self.read_some()
        while (end := line.find(b"\n")) < 0:
            if len(line) > limit:
                raise LineTooLong
            line += await self.read_some()
        self.buffer = line[end + 1 :] + self.buffer
        if end > limit:
            raise LineTooLong
        return line[: end - 1] if line[end - 1 : end] == b"\r" else line[:end]

    # --- writing
    async def write(self, data: bytes) -> None:
        """Send; returns when the kernel has taken all of it.  Raises ClientGone."""
        if self._tls is None:
            await self._send(data)
            return
        for start in range(0, len(data), READ_SIZE):
            try:
                self._tls.write(data[start : start + READ_SIZE])
            except ssl.SSLError as error:
                raise ClientGone(f"TLS: {error.reason or error}") from None
            await self._flush()

    async def write_pieces(self, pieces: list[bytes]) -> None:
        """As `write`, without putting them together where the kernel can."""
        if self._tls is not None or len(pieces) > _PIECES:
            await self.write(b"".join(pieces))
            return
        try:
            sent = self.socket.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            raise ClientGone(error.strerror or str(error)) from None
        for piece in pieces:
            if sent < len(piece):
                await self._send_rest(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))

    async def _flush(self) -> None:
        if self._outgoing.pending:
            async with self._sending:
                if data := self._outgoing.read():
                    await self._send(data)

    async def _send(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)  # nearly always all of it, without a trip through the loop
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            raise ClientGone(error.strerror or str(error)) from None
        if sent < len(data):
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, data: memoryview) -> None:
        try:
            await self._loop.sock_sendall(self.socket, data)
        except OSError as error:
            raise ClientGone(error.strerror or str(error)) from None

    # --- TLS
    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Be the server of a TLS handshake.  What came before it is dropped: it was not protected (CVE-2011-0411).

        Raises ClientGone when it fails.
        """
        self.buffer = b""
        self._incoming, self._outgoing, self._sending = ssl.MemoryBIO(), ssl.MemoryBIO(), asyncio.Lock()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._receive()
                if not data:
                    raise ClientGone("closed during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError as error:
                with contextlib.suppress(ClientGone):
                    await self._flush()  # the alert that says why
                raise ClientGone(f"TLS handshake failed: {error.reason or error}") from None
        self._tls = tls
        self.encrypted = True
        self.tls_text = cipher_text(tls) or ""
        await self._flush()

    async def shut(self) -> None:
        """Say good-bye in TLS (close_notify); the socket stays to be closed."""
        if self._tls is not None:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass
            with contextlib.suppress(ClientGone):
                await self._flush()

    def close(self) -> None:
        """Close the socket."""
        if self.socket.fileno() >= 0:
            self._watch_no_more()
            self.socket.close()


def _address(name: object) -> tuple[str, int]:
    """Address and port of a socket name; IPv4 clients of IPv6 sockets as IPv4."""
    if not isinstance(name, tuple):
        return "127.0.0.1", 0  # a UNIX socket: this machine
    return str(name[0]).removeprefix("::ffff:").partition("%")[0], int(name[1])
