"""The way to one DNS server: queries over a connected UDP socket, over TCP where an answer was cut (RFC 7766).

The socket is connected, so the kernel takes answers from that server's address and port only, and says at once when
nobody listens there.  It is renewed after `QUERIES_PER_PORT` queries or `FORGERY_LIMIT` answers that match nothing,
so that an attacker who guesses must guess a new source port too (RFC 5452 section 9).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from pillarbox.lib.dns.codec import BadMessage, Response, decode_response, encode_query
from pillarbox.lib.dns.servers import Server
from pillarbox.lib.dns.types import RandomBits

QUERIES_PER_PORT = 200
"""Queries sent from one source port; a socket costs some 30 us, a query 60."""

FORGERY_LIMIT = 20
"""Datagrams that match no question before the port is thought to be guessed at."""

TCP_LIMIT = 65535

LARGEST_DATAGRAM = 16384
"""Octets; servers send no more than `UDP_PAYLOAD` unless they are broken, and then 4096 mostly."""

_BUFFER = bytearray(LARGEST_DATAGRAM)
"""Where a datagram comes in, before it is copied in its own size."""

ANSWERS_AT_ONCE = 100
"""Datagrams read in one go, so that a flood leaves time for others."""


class Unreachable(Exception):
    """This server gave no usable answer; the text says why."""


class _Port:
    """One source port and the questions that went out of it.

    A plain socket, not a transport: it is there at once, so nobody waits for a new one.
    """

    def __init__(self, server: Server) -> None:
        """Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self.waiting: dict[int, tuple[bytes, asyncio.Future[Response]]] = {}
        self.sent = 0
        self.forged = 0
        self._retired = False
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect((server.address, server.port))
        except BaseException:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def fresh(self) -> bool:
        """Whether it may take a further question."""
        return not self._retired and self.sent < QUERIES_PER_PORT and self.forged < FORGERY_LIMIT

    def send(self, query: bytes) -> None:
        """Send a question; one that finds no room is lost, as on the way.  Raises OSError."""
        self.sent += 1
        with contextlib.suppress(BlockingIOError):
            self._socket.send(query)

    def _readable(self) -> None:
        for _ in range(ANSWERS_AT_ONCE):
            try:
                size = self._socket.recv_into(_BUFFER)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.fail(error.strerror or str(error))
                return
            self._take(bytes(memoryview(_BUFFER)[:size]))
            if self._retired and not self.waiting:
                return

    def _take(self, data: bytes) -> None:
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

    def fail(self, reason: str) -> None:
        """No question will be answered."""
        for _, future in list(self.waiting.values()):
            if not future.done():
                future.set_exception(Unreachable(reason))

    def retire(self) -> None:
        """Take no more questions; close when the last is answered."""
        self._retired = True
        self.close_if_done()

    def close_if_done(self) -> None:
        """Close where nobody waits any more."""
        if self._retired and not self.waiting:
            self.close()

    def close(self) -> None:
        """Give the socket back; questions that wait fail."""
        self._retired = True
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self.fail("socket closed")


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


def _too_late(future: asyncio.Future[Response]) -> None:
    if not future.done():
        future.set_exception(Unreachable("timed out"))


class Endpoint:
    """Asks one server.  To be used within one event loop."""

    def __init__(self, server: Server, random_bits: RandomBits) -> None:
        self.server = server
        self.edns = True
        """False once the server has refused EDNS0."""
        self._random_bits = random_bits
        self._port: _Port | None = None

    async def query(self, question: bytes, timeout: float) -> Response:
        """The answer to a question section, within `timeout` seconds.  Raises Unreachable."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        try:
            response = await self._query_udp(question, end)
            if response.truncated:
                async with asyncio.timeout_at(end):
                    response = await self._query_tcp(question)
            return response
        except TimeoutError:
            raise Unreachable("timed out") from None
        except OSError as error:
            raise Unreachable(error.strerror or str(error)) from None

    async def _query_udp(self, question: bytes, end: float) -> Response:
        port = self._usable_port()
        query_id = self._random_bits(16)
        while query_id in port.waiting:
            query_id = self._random_bits(16)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        port.waiting[query_id] = question, future
        timer = loop.call_at(end, _too_late, future)  # a third of what asyncio.timeout costs
        try:
            port.send(encode_query(query_id, question, self.edns))
            return await future
        finally:
            timer.cancel()
            del port.waiting[query_id]
            port.close_if_done()

    def _usable_port(self) -> _Port:
        if self._port is None or not self._port.fresh:
            if self._port is not None:
                self._port.retire()
                self._port = None
            self._port = _Port(self.server)
        return self._port

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
        if self._port is not None:
            self._port.close()
        self._port = None
