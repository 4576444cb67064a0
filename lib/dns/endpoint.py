"""The way to one DNS server: queries over a connected UDP socket, over TCP where an answer was cut (RFC 7766).

The socket is connected, so the kernel takes answers from that server's address and port only, and says at once when
nobody listens there.  It is renewed after `QUERIES_PER_PORT` queries or `FORGERY_LIMIT` answers that match nothing,
so that an attacker who guesses must guess a new source port too (RFC 5452 section 9).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from pillarbox.lib.dns.codec import BadMessage, Response, decode_response, encode_query
from pillarbox.lib.dns.servers import Server
from pillarbox.lib.dns.types import RandomBits

QUERIES_PER_PORT = 200
"""Queries sent from one source port; a socket costs some 30 us, a query 60."""

FORGERY_LIMIT = 20
"""Datagrams that match no question before the port is thought to be guessed at."""

TCP_LIMIT = 65535


class Unreachable(Exception):
    """This server gave no usable answer; the text says why."""


class _Socket(asyncio.DatagramProtocol):
    """One source port and the questions that went out of it."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self.waiting: dict[int, tuple[bytes, asyncio.Future[Response]]] = {}
        self.sent = 0
        self.forged = 0
        self.retired = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # the loops' own classes are no subclasses

    def datagram_received(self, data: bytes, addr: object) -> None:
        entry = self.waiting.get(data[0] << 8 | data[1]) if len(data) >= 12 else None
        if entry is None:
            self.forged += 1
            return
        question, future = entry
        try:
            response = decode_response(data)
        except BadMessage as error:
            if same_question(data[12 : 12 + len(question)], question) and not future.done():
                future.set_exception(Unreachable(f"malformed answer: {error}"))
            else:
                self.forged += 1
            return
        if not matches(response, question):
            self.forged += 1
        elif not future.done():
            future.set_result(response)

    def error_received(self, exc: Exception) -> None:
        self._fail(getattr(exc, "strerror", None) or str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self.retired = True
        self._fail("socket closed")

    def _fail(self, reason: str) -> None:
        for _, future in list(self.waiting.values()):
            if not future.done():
                future.set_exception(Unreachable(reason))

    def retire(self) -> None:
        """Take no more questions; close when the last is answered."""
        self.retired = True
        self.close_if_done()

    def close_if_done(self) -> None:
        if self.retired and not self.waiting and self.transport is not None:
            self.transport.close()


def matches(response: Response, question: bytes) -> bool:
    """Whether a response answers this question section.

    A server that can't read a query may answer FORMERR without repeating the question (RFC 6891 section 7).
    """
    if not response.question:
        return response.rcode != 0
    return same_question(response.question, question)


def same_question(first: bytes, second: bytes) -> bool:
    """Whether two question sections ask the same; the case of letters in names does not count."""
    return first == second or (first[-4:] == second[-4:] and first[:-4].lower() == second[:-4].lower())


class Endpoint:
    """Asks one server.  To be used within one event loop."""

    def __init__(self, server: Server, random_bits: RandomBits) -> None:
        self.server = server
        self.edns = True
        """False once the server has refused EDNS0."""
        self._random_bits = random_bits
        self._socket: _Socket | None = None
        self._opening: asyncio.Task[_Socket] | None = None

    async def query(self, question: bytes, timeout: float) -> Response:
        """The answer to a question section, within `timeout` seconds.  Raises Unreachable."""
        try:
            async with asyncio.timeout(timeout):
                response = await self._query_udp(question)
                if response.truncated:
                    response = await self._query_tcp(question)
                return response
        except TimeoutError:
            raise Unreachable("timed out") from None
        except OSError as error:
            raise Unreachable(error.strerror or str(error)) from None

    async def _query_udp(self, question: bytes) -> Response:
        channel = await self._channel()
        query_id = self._random_bits(16)
        while query_id in channel.waiting:
            query_id = self._random_bits(16)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        channel.waiting[query_id] = question, future
        try:
            assert channel.transport is not None
            channel.sent += 1
            channel.transport.sendto(encode_query(query_id, question, self.edns))
            return await future
        finally:
            del channel.waiting[query_id]
            channel.close_if_done()

    async def _channel(self) -> _Socket:
        while True:
            channel = self._socket
            if channel is not None and not channel.retired:
                if channel.sent < QUERIES_PER_PORT and channel.forged < FORGERY_LIMIT:
                    return channel
                channel.retire()
            if self._opening is None:
                self._opening = asyncio.ensure_future(self._open())
            try:
                await asyncio.shield(self._opening)
            finally:
                if self._opening is not None and self._opening.done():
                    self._opening = None

    async def _open(self) -> _Socket:
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_datagram_endpoint(_Socket, remote_addr=(self.server.address, self.server.port))
        self._socket = channel
        return channel

    async def _query_tcp(self, question: bytes) -> Response:
        reader, writer = await asyncio.open_connection(self.server.address, self.server.port, limit=TCP_LIMIT)
        try:
            query = encode_query(query_id := self._random_bits(16), question, self.edns)
            writer.write(len(query).to_bytes(2, "big") + query)
            size = int.from_bytes(await reader.readexactly(2), "big")
            response = decode_response(await reader.readexactly(size))
        except asyncio.IncompleteReadError:
            raise Unreachable("connection closed") from None
        except BadMessage as error:
            raise Unreachable(f"malformed answer: {error}") from None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if response.id != query_id or not matches(response, question) or response.truncated:
            raise Unreachable("an answer to another question")
        return response

    def close(self) -> None:
        """Give the socket back; questions that wait fail."""
        if self._socket is not None and self._socket.transport is not None:
            self._socket.transport.close()
        self._socket = None
