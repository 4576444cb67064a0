"""A name server for tests, on threads, written on dnspython so that it shares no code with what it tests."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from pillarbox.lib.dns import Server

SOA = "ns.test. hostmaster.test. 1 3600 600 86400 60"

Answering = Callable[["NameServer", dns.message.Message, bool], "list[bytes]"]


class NameServer:
    """Answers from `zone`: owner -> type -> list of record texts.  `answering` may be replaced to misbehave."""

    def __init__(self, zone: dict[str, dict[str, list[str]]], answering: Answering | None = None) -> None:
        self.zone = {dns.name.from_text(name): types for name, types in zone.items()}
        self.answering = answering or NameServer.answer
        self.queries: list[tuple[str, str, bool]] = []
        self.clients: list[tuple[str, int]] = []
        self.ttl = 300
        self._closed = False
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp, self.port = self._bind()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]

    def _bind(self) -> tuple[socket.socket, int]:
        """One port that is free for both protocols: another connection may hold it for TCP."""
        for _ in range(100):
            tcp = socket.create_server(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                self._udp.bind(("127.0.0.1", port))
            except OSError:
                tcp.close()
                continue
            return tcp, port
        raise AssertionError("no port is free for UDP and TCP at once")

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", self.port)

    def response(self, query: dns.message.Message) -> dns.message.Message:
        """A right answer, alias chains within the zone followed."""
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        question = query.question[0]
        name = question.name
        for _ in range(20):
            types = self.zone.get(name)
            if types is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            kind = dns.rdatatype.to_text(question.rdtype)
            if kind in types:
                response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *types[kind]))
                return response
            if "CNAME" not in types:
                break
            alias = dns.rrset.from_text(name, self.ttl, "IN", "CNAME", *types["CNAME"])
            response.answer.append(alias)
            name = alias[0].target
        response.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", SOA))
        return response

    def answer(self, query: dns.message.Message, tcp: bool) -> list[bytes]:
        return [self.response(query).to_wire()]

    def _replies(self, wire: bytes, tcp: bool) -> list[bytes]:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.queries.append((question.name.to_text(True), dns.rdatatype.to_text(question.rdtype), tcp))
        return self.answering(self, query, tcp)

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, client = self._udp.recvfrom(4096)
                if self._closed and not wire:  # what was asked before the end has been counted
                    return
                self.clients.append(client)
                for reply in self._replies(wire, False):
                    self._udp.sendto(reply, client)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                with connection, connection.makefile("rb") as stream:
                    size = int.from_bytes(stream.read(2), "big")
                    for reply in self._replies(stream.read(size), True):
                        connection.sendall(len(reply).to_bytes(2, "big") + reply)

    def close(self) -> None:
        self._closed = True
        for each in (self._udp, self._tcp):
            with contextlib.suppress(OSError):  # it says that it has no peer; who waits in it is woken all the same
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        self._udp.close()
        self._tcp.close()


@contextlib.contextmanager
def name_server(zone: dict[str, dict[str, list[str]]], answering: Answering | None = None) -> Iterator[NameServer]:
    """A running server."""
    server = NameServer(zone, answering)
    for thread in server._threads:
        thread.start()
    try:
        yield server
    finally:
        server.close()
