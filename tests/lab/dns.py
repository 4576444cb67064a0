"""A small authoritative DNS server for tests: the internet as far as mail can see it.

Zones are written as master-file text (RFC 1035 section 5) or added record by record; names without the final dot
are relative to the root. It answers over UDP and TCP from a thread of its own, keeps a log of the questions, and can be
told to misbehave for a name. It does no recursion: what it has no record for does not exist.

    with DnsServer("example.org. MX 10 mx.example.org.\\nmx.example.org. A 127.0.0.2") as dns:
        dns.add("example.net. MX 0 .")              # null MX, RFC 7505
        dns.fail("broken.example.org", "servfail")  # or "timeout", "refused", "nxdomain", "formerr"
        resolver = f"{dns.address}:{dns.port}"
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.lab.ports import LOOPBACK, free_port

_TTL = 5  # seconds; nothing in a test should live long in a cache
_CNAME_DEPTH = 8
_UDP_LIMIT = 1232  # the usual limit for EDNS answers (DNS flag day 2020)

_FAILURES = {
    "servfail": dns.rcode.SERVFAIL,
    "refused": dns.rcode.REFUSED,
    "nxdomain": dns.rcode.NXDOMAIN,
    "formerr": dns.rcode.FORMERR,
    "timeout": None,
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question that was asked, e.g. `Question("example.org.", "MX", "udp")`."""

    name: str
    type: str
    transport: str


class DnsServer:
    """The server; a context manager, or `start()` and `stop()`."""

    def __init__(self, zone: str = "", *, address: str = LOOPBACK, port: int = 0) -> None:
        """`port` 0 takes a free one; 53 is for programs that ask the resolver of the C library (needs root)."""
        self.address = address
        self.port = port or free_port(address)
        self.questions: list[Question] = []
        self._lock = threading.Lock()
        self._records: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], list[dns.rdata.Rdata]] = defaultdict(list)
        self._failures: dict[tuple[dns.name.Name, str], str] = {}
        self._authentic = False
        self._truncate = False
        self._answers: dict[bytes, tuple[Question, bytes | None]] = {}
        self._thread: threading.Thread | None = None
        self._sockets: list[socket.socket] = []
        self.add(zone)

    # What it knows

    def add(self, zone: str) -> None:
        """Add records, one per line: `NAME [TTL] [IN] TYPE DATA...`; `;` begins a comment."""
        with self._lock:
            self._answers.clear()
            for line in zone.splitlines():
                text = line.strip()
                if text and not text.startswith(";"):
                    name, kind, data = _parse(text)
                    self._records[name, kind].append(data)

    def remove(self, name: str, kind: str = "") -> None:
        """Forget the records of `name`, of one type or all."""
        owner = _name(name)
        with self._lock:
            self._answers.clear()
            for key in [key for key in self._records if key[0] == owner and kind in ("", key[1].name)]:
                del self._records[key]

    def fail(self, name: str, how: str, kind: str = "") -> None:
        """Answer for `name` (and everything below it; for one type or all) with a failure: see the module's example."""
        if how not in _FAILURES:
            raise ValueError(f"a DNS failure is one of {', '.join(_FAILURES)}, not {how!r}")
        with self._lock:
            self._answers.clear()
            self._failures[_name(name), kind] = how

    def recover(self, name: str = "") -> None:
        """End the failures of `name`, or all."""
        with self._lock:
            self._answers.clear()
            for key in [key for key in self._failures if not name or key[0] == _name(name)]:
                del self._failures[key]

    def authenticate(self, on: bool = True) -> None:
        """Set the AD bit in answers, as a validating resolver does for signed zones (RFC 4035 section 3.2.3)."""
        with self._lock:
            self._answers.clear()
            self._authentic = on

    def truncate(self, on: bool = True) -> None:
        """Answer over UDP with the TC bit only, so that clients must come back over TCP."""
        with self._lock:
            self._answers.clear()
            self._truncate = on

    def asked(self, name: str = "", kind: str = "") -> list[Question]:
        """The questions so far, for a name and a type if given."""
        with self._lock:
            return [q for q in self.questions if (not name or _name(name) == _name(q.name)) and kind in ("", q.type)]

    @property
    def resolver(self) -> str:
        """`address:port`, the form that `dns_resolver` takes."""
        return f"{self.address}:{self.port}"

    # How it runs

    def __enter__(self) -> DnsServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bind and begin to answer. Raises OSError when the port is taken or not allowed."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        wake, self._waker = socket.socketpair()
        self._sockets = [udp, tcp, wake, self._waker]
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for listener in (udp, tcp):
                listener.bind((self.address, self.port))
            tcp.listen(64)
        except OSError:
            self._close()
            raise
        self._thread = threading.Thread(target=self._serve, args=(udp, tcp, wake), name="lab-dns", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets; a second time does nothing."""
        if self._thread is not None:
            self._waker.send(b"x")
            self._thread.join()
            self._thread = None
            self._close()

    def _close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets = []

    def _serve(self, udp: socket.socket, tcp: socket.socket, wake: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            for listener in (udp, tcp, wake):
                selector.register(listener, selectors.EVENT_READ)
            streams: dict[socket.socket, bytearray] = {}
            while True:
                for key, _ in selector.select():
                    ready = key.fileobj
                    assert isinstance(ready, socket.socket)
                    if ready is wake:
                        for stream in streams:
                            stream.close()
                        return
                    if ready is udp:
                        self._serve_datagram(udp)
                    elif ready is tcp:
                        stream, _peer = tcp.accept()
                        streams[stream] = bytearray()
                        selector.register(stream, selectors.EVENT_READ)
                    elif not self._serve_stream(ready, streams[ready]):
                        selector.unregister(ready)
                        del streams[ready]
                        ready.close()

    def _serve_datagram(self, udp: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data, peer = udp.recvfrom(65535)
            answer = self._answer(data, "udp")
            if answer is not None:
                udp.sendto(answer, peer)

    def _serve_stream(self, stream: socket.socket, buffer: bytearray) -> bool:
        try:
            data = stream.recv(65535)
            if not data:
                return False
            buffer += data
            while len(buffer) >= 2 and len(buffer) >= 2 + (length := struct.unpack("!H", buffer[:2])[0]):
                answer = self._answer(bytes(buffer[2 : 2 + length]), "tcp")
                del buffer[: 2 + length]
                if answer is not None:
                    stream.sendall(struct.pack("!H", len(answer)) + answer)
        except OSError:
            return False
        return True

    # What it answers

    def _answer(self, data: bytes, transport: str) -> bytes | None:
        """The answer to a question in wire form; the same question again costs next to nothing (for the benchmark)."""
        with self._lock:
            known = self._answers.get(transport.encode() + data[2:])
            if known is not None:
                question, answer = known
                self.questions.append(question)
                return answer and data[:2] + answer[2:]
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        if not query.question:
            return None
        asked = query.question[0]
        question = Question(asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype), transport)
        answer = self._respond(query, asked, transport)
        with self._lock:
            self.questions.append(question)
            self._answers[transport.encode() + data[2:]] = (question, answer)
        return answer

    def _respond(self, query: dns.message.Message, asked: dns.rrset.RRset, transport: str) -> bytes | None:
        with self._lock:
            failure = self._failure(asked.name, dns.rdatatype.to_text(asked.rdtype))
            response = dns.message.make_response(query, recursion_available=True)
            if failure == "timeout":
                return None
            code = _FAILURES.get(failure)
            if code is not None:
                response.set_rcode(code)
            elif self._truncate and transport == "udp":
                response.flags |= dns.flags.TC
            else:
                self._look_up(response, asked.name, asked.rdtype)
        if self._authentic:
            response.flags |= dns.flags.AD
        limit = 65535 if transport == "tcp" else max(512, min(query.payload, _UDP_LIMIT))
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _failure(self, name: dns.name.Name, kind: str) -> str:
        for (owner, of_kind), how in self._failures.items():
            if name.is_subdomain(owner) and of_kind in ("", kind):
                return how
        return ""

    def _look_up(self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
        for _ in range(_CNAME_DEPTH):
            found = self._records.get((name, kind))
            if found:
                response.answer.append(dns.rrset.from_rdata_list(name, _TTL, found))
                return
            alias = self._records.get((name, dns.rdatatype.CNAME))
            if not alias:
                break
            response.answer.append(dns.rrset.from_rdata_list(name, _TTL, alias))
            name = alias[0].target  # type: ignore[attr-defined]
        if not self._exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _exists(self, name: dns.name.Name) -> bool:
        """Whether the name, or anything below it, has records: an empty non-terminal exists (RFC 8020)."""
        return any(owner.is_subdomain(name) for owner, _ in self._records)


def mail_zone(domain: str, address: str, *, host: str = "") -> str:
    """The zone text of a domain whose mail goes to a host at `address` (with its reverse name)."""
    host = host or f"mx.{domain}"
    reverse = ".".join(reversed(address.split(".")))
    return f"{domain}. MX 10 {host}.\n{host}. A {address}\n{reverse}.in-addr.arpa. PTR {host}.\n"


def resolv_conf(servers: Iterable[str]) -> str:
    """The text of a resolv.conf that names `servers` (which must listen on port 53)."""
    return "".join(f"nameserver {server}\n" for server in servers) + "options timeout:2 attempts:2\n"


def _parse(line: str) -> tuple[dns.name.Name, dns.rdatatype.RdataType, dns.rdata.Rdata]:
    name, *rest = line.split(None, 1)
    fields = (rest[0] if rest else "").split(None, 1)
    while fields and (fields[0].isdigit() or fields[0].upper() == "IN"):
        fields = fields[1].split(None, 1) if len(fields) > 1 else []
    if len(fields) != 2:
        raise ValueError(f"not a record, NAME [TTL] [IN] TYPE DATA was expected: {line!r}")
    kind = dns.rdatatype.from_text(fields[0])
    data = dns.rdata.from_text(dns.rdataclass.IN, kind, fields[1], origin=dns.name.root, relativize=False)
    return _name(name), kind, data


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(text, dns.name.root).canonicalize()
