"""A small authoritative DNS server for tests: the internet as far as mail can see it.

Zones are written as master-file text (RFC 1035 section 5) or added record by record; names without the final dot
are relative to the root. It answers over UDP and TCP from a thread of its own, keeps a log of the questions, and can be
told to misbehave for a name. It does no recursion: what it has no record for does not exist. `*.example.org.` is a
wildcard.

    with DnsServer("example.org. MX 10 mx.example.org.\\nmx.example.org. A 127.0.0.2") as dns:
        dns.add("example.net. MX 0 .")              # null MX, RFC 7505
        dns.fail("broken.example.org", "servfail")  # or "timeout", "refused", "nxdomain", "formerr"
        resolver = f"{dns.address}:{dns.port}"

With `signed=True` everything is signed (DNSSEC), from the root down (`dns.trust_anchor()`); `delegate` cuts zones off
and `spoil` breaks things on purpose. Signatures go to those who ask for them (the DO bit). The server validates
nothing: the AD bit is set only after `authenticate()`, when it plays the validating resolver and answers SERVFAIL for
what is bogus. `tests.peers.unbound` is a real one.

    with DnsServer(ZONE, signed=True) as dns:
        dns.delegate("example.org")                            # a zone of its own, DS in the root
        dns.delegate("example.net", ds="missing")              # an insecure delegation; "wrong": a bogus one
        dns.delegate("example.com", signed=False, nsec3=True)  # a zone without signatures
        dns.spoil("_25._tcp.mx.example.org", "bogus", "TLSA")  # or "expired", "unsigned", "stripped"; dns.mend()
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.lab.dnssec import BOGUS, INSECURE, SECURE, SPOILED, TTL, Zones
from tests.lab.ports import LOOPBACK, free_port
from tests.lab.records import Kind, Name, Records, parse_name

_CNAME_DEPTH = 8
_UDP_LIMIT = 1232  # the usual limit for EDNS answers (DNS flag day 2020)

_FAILURES = {
    "servfail": dns.rcode.SERVFAIL,
    "refused": dns.rcode.REFUSED,
    "nxdomain": dns.rcode.NXDOMAIN,
    "formerr": dns.rcode.FORMERR,
    "timeout": None,
}

_PROOFS = {dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3}


_BURST = 4_000_000
"""Bytes of questions that may wait."""

_RECEIVE_FORCED = 33  # SO_RCVBUFFORCE


@dataclass(frozen=True, slots=True)
class Question:
    """One question that was asked, e.g. `Question("example.org.", "MX", "udp")`."""

    name: str
    type: str
    transport: str


class DnsServer:
    """The server; a context manager, or `start()` and `stop()`."""

    def __init__(
        self,
        zone: str = "",
        *,
        address: str = LOOPBACK,
        port: int = 0,
        signed: bool | Iterable[str] = False,
        nsec3: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`port` 0 takes a free one; 53 is for programs that ask the resolver of the C library (needs root).

        `signed` signs the root; names instead of True are delegated at once, as zones of their own. `nsec3` is the kind
        of proof of absence for zones for which nothing else is said. `clock` is the time of signatures.
        """
        self.address = address
        self.port = port or free_port(address)
        self.questions: list[Question] = []
        self._lock = threading.Lock()
        self._records = Records()
        self._zones = Zones(self._records, nsec3=nsec3, clock=clock) if signed else None
        self._failures: dict[tuple[Name, str], str] = {}
        self._spoiled: dict[tuple[Name, str], str] = {}
        self._authentic = False
        self._truncate = False
        self._answers: dict[bytes, tuple[Question, bytes | None]] = {}
        self._thread: threading.Thread | None = None
        self._sockets: list[socket.socket] = []
        self.add(zone)
        if not isinstance(signed, bool):
            for name in sorted(signed, key=parse_name):
                self.delegate(name)

    # What it knows

    def add(self, zone: str) -> None:
        """Add records, one per line: `NAME [TTL] [IN] TYPE DATA...`; `;` begins a comment."""
        with self._changing():
            self._records.add(zone)

    def remove(self, name: str, kind: str = "") -> None:
        """Forget the records of `name`, of one type or all."""
        with self._changing():
            self._records.remove(parse_name(name), kind)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            self._answers.clear()
            yield
            if self._zones is not None:
                self._zones.changed()

    def fail(self, name: str, how: str, kind: str = "") -> None:
        """Answer for `name` (and everything below it; for one type or all) with a failure: see the module's example."""
        if how not in _FAILURES:
            raise ValueError(f"a DNS failure is one of {', '.join(_FAILURES)}, not {how!r}")
        with self._lock:
            self._answers.clear()
            self._failures[parse_name(name), kind] = how

    def recover(self, name: str = "") -> None:
        """End the failures of `name`, or all."""
        with self._lock:
            self._answers.clear()
            for key in [key for key in self._failures if not name or key[0] == parse_name(name)]:
                del self._failures[key]

    def delegate(self, name: str, *, signed: bool = True, ds: str = "good", nsec3: bool | None = None) -> None:
        """Make `name` a zone of its own (needs `signed` at the server), with a fresh key.

        `ds` is how its parent vouches for it: "good", "missing" (insecure), "wrong" (bogus). Raises ValueError.
        """
        with self._changing():
            self._tree().delegate(parse_name(name), signed=signed, ds=ds, nsec3=nsec3)

    def trust_anchor(self, apex: str = ".") -> str:
        """The key of a zone as a DNSKEY record in text form: what a validator is to trust. Raises KeyError."""
        return self._tree().trust_anchor(parse_name(apex))

    def spoil(self, name: str, how: str, kind: str = "") -> None:
        """Let signed data for `name` (and everything below it; for one type asked for or all) be wrong: see SPOILED."""
        if how not in SPOILED:
            raise ValueError(f"signed data can be {', '.join(SPOILED)}, not {how!r}")
        self._tree()
        with self._changing():
            self._spoiled[parse_name(name), kind] = how

    def mend(self, name: str = "") -> None:
        """End what `spoil` began for `name`, or everywhere."""
        with self._changing():
            for key in [key for key in self._spoiled if not name or key[0] == parse_name(name)]:
                del self._spoiled[key]

    def _tree(self) -> Zones:
        if self._zones is None:
            raise ValueError("this server signs nothing: DnsServer(..., signed=True)")
        return self._zones

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
            return [
                q
                for q in self.questions
                if (not name or parse_name(name) == parse_name(q.name)) and kind in ("", q.type)
            ]

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
        # A burst of questions is not to be lost, however slowly this process answers.
        udp.setsockopt(socket.SOL_SOCKET, _RECEIVE_FORCED if os.geteuid() == 0 else socket.SO_RCVBUF, _BURST)
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
        try:
            answer = self._respond(query, asked, transport)
        except Exception:  # a record that cannot be rendered, say: the other names must go on being answered
            traceback.print_exc()
            failed = dns.message.make_response(query)
            failed.set_rcode(dns.rcode.SERVFAIL)
            return failed.to_wire()
        with self._lock:
            self.questions.append(question)
            self._answers[transport.encode() + data[2:]] = (question, answer)
        return answer

    def _respond(self, query: dns.message.Message, asked: dns.rrset.RRset, transport: str) -> bytes | None:
        name = asked.name.canonicalize()
        with self._lock:
            failure = _covering(self._failures, name, asked.rdtype)
            response = dns.message.make_response(query, recursion_available=True)
            if failure == "timeout":
                return None
            code = _FAILURES.get(failure)
            status = INSECURE
            if code is not None:
                response.set_rcode(code)
            elif self._truncate and transport == "udp":
                response.flags |= dns.flags.TC
            elif self._zones is not None:
                status = self._zones.respond(
                    response, name, asked.rdtype, lambda owner, kind: _covering(self._spoiled, owner, kind)
                )
            else:
                status = SECURE  # as far as anybody can say: AD is set for all or none
                self._look_up(response, name, asked.rdtype)
        response = self._finish(query, response, status)
        limit = 65535 if transport == "tcp" else max(512, min(query.payload, _UDP_LIMIT))
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _finish(self, query: dns.message.Message, response: dns.message.Message, status: str) -> dns.message.Message:
        """Play the validating resolver where told to, and leave out what was not asked for (RFC 4035 section 3.2)."""
        if self._authentic and status == BOGUS and not query.flags & dns.flags.CD:
            response = dns.message.make_response(query, recursion_available=True)
            response.set_rcode(dns.rcode.SERVFAIL)
        elif self._authentic and status == SECURE:
            asked_for = bool(query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO)
            if asked_for or self._zones is None:
                response.flags |= dns.flags.AD
        if self._zones is not None and not query.ednsflags & dns.flags.DO:
            wanted = {rrset.rdtype for rrset in query.question}
            for section in (response.answer, response.authority):
                section[:] = [each for each in section if each.rdtype not in _PROOFS or each.rdtype in wanted]
        return response

    def _look_up(self, response: dns.message.Message, name: Name, kind: Kind) -> None:
        for _ in range(_CNAME_DEPTH):
            source = self._records.source(name)
            if source is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
            if found := self._records.get(source, kind):
                response.answer.append(dns.rrset.from_rdata_list(name, TTL, found))
                return
            alias = self._records.get(source, dns.rdatatype.CNAME)
            if not alias:
                return
            response.answer.append(dns.rrset.from_rdata_list(name, TTL, alias))
            name = alias[0].target.canonicalize()  # type: ignore[attr-defined]


def _covering(rules: Mapping[tuple[Name, str], str], name: Name, kind: Kind) -> str:
    """What a table of (name, type or "" for all) says for a name below one of its names; "" for nothing."""
    text = dns.rdatatype.to_text(kind)
    return next((how for (owner, of), how in rules.items() if name.is_subdomain(owner) and of in ("", text)), "")


def mail_zone(domain: str, address: str, *, host: str = "") -> str:
    """The zone text of a domain whose mail goes to a host at `address` (with its reverse name)."""
    host = host or f"mx.{domain}"
    reverse = ".".join(reversed(address.split(".")))
    return f"{domain}. MX 10 {host}.\n{host}. A {address}\n{reverse}.in-addr.arpa. PTR {host}.\n"


def resolv_conf(servers: Iterable[str]) -> str:
    """The text of a resolv.conf that names `servers` (which must listen on port 53)."""
    return "".join(f"nameserver {server}\n" for server in servers) + "options timeout:2 attempts:2\n"
