"""A crowd of SMTP servers in one fast process: tens of thousands of messages for thousands of addresses.

    with Namespace(), Crowd(port=25, rules={"10.2.0.0/16": Rule(delay=2)}) as crowd:
        ...  # mail to any host of 10.0.0.0/8
        crowd.counts().messages

It listens on one address (0.0.0.0: all that are local) and behaves by the address that was connected to: the first
rule whose network has it. It counts; with `recipients=True` it also keeps how often each recipient's message was taken,
and how often the reply that said so was not sent, with `takings=True` when and for whom it took each copy, with
`digests=True` the SHA-256 of each body. It speaks SMTP with PIPELINING, CHUNKING and what else `capabilities` says,
without TLS; for single sessions that misbehave in detail there is `SmtpSink`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tests.lab.ports import LOOPBACK, free_port
from tests.lab.takings import Taking

_REPOSITORY = Path(__file__).resolve().parents[2]
_BACKLOG = 4096
_START_TIMEOUT, _STOP_TIMEOUT = 30, 10  # seconds

CAPABILITIES = ("PIPELINING", "SIZE 52428800", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING")


@dataclass(frozen=True)
class Rule:
    """How the hosts of a network behave; an empty reply is the good one."""

    delay: float = 0
    """Seconds before each reply."""
    greeting: str = ""
    mail: str = ""
    rcpt: str = ""
    data: str = ""
    content: str = ""
    """Replies of the phases; a 421 is followed by the end of the connection."""
    flaky: float = 0
    """The chance, for each reply, that the connection is closed instead of it."""


@dataclass(frozen=True)
class Counts:
    """What the crowd has seen so far."""

    connections: int = 0
    open: int = 0
    messages: int = 0
    """Messages that were answered with 250."""
    recipients: int = 0
    """Their recipients."""
    octets: int = 0
    """Their content on the wire."""
    lost_replies: int = 0
    """Messages that were taken, but whose 250 was not sent (`flaky`): these may come twice."""
    refused: int = 0
    """Replies that began with 4 or 5."""


class Crowd:
    """The servers; a context manager, or `start()` and `stop()`."""

    def __init__(
        self,
        *,
        address: str = "0.0.0.0",
        port: int = 0,
        hostname: str = "crowd.test",
        capabilities: tuple[str, ...] = CAPABILITIES,
        rules: Mapping[str, Rule] | None = None,
        recipients: bool = False,
        takings: bool = False,
        digests: bool = False,
        seed: int = 0,
    ) -> None:
        """`seed` is that of the chance in `Rule.flaky`."""
        self.address, self.port = address, port or free_port(LOOPBACK)
        self._settings: dict[str, Any] = {
            "address": address,
            "port": self.port,
            "hostname": hostname,
            "capabilities": capabilities,
            "recipients": recipients,
            "takings": takings,
            "digests": digests,
            "seed": seed,
        }
        self._rules = dict(rules or {})
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen.  Raises AssertionError."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.crowd", json.dumps(self._settings)],
            cwd=_REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "ready\n":
            self.stop()
            raise AssertionError(f"the crowd does not listen on {self.address}:{self.port}: {line}")
        self.behave(self._rules)

    def stop(self) -> None:
        """End the process; from now on connections are refused."""
        if self._process is not None:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.close()
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process, for its CPU time."""
        assert self._process is not None
        return self._process.pid

    def behave(self, rules: Mapping[str, Rule]) -> None:
        """Set the rules, for connections that begin from now on."""
        self._rules = dict(rules)
        self._ask("rules", rules={network: asdict(rule) for network, rule in rules.items()})

    def counts(self) -> Counts:
        """The totals so far."""
        return Counts(**self._ask("counts"))

    def by_address(self) -> dict[str, int]:
        """How many messages were taken under each address."""
        found: dict[str, int] = self._ask("addresses")
        return found

    def by_recipient(self) -> dict[str, tuple[int, int]]:
        """For each recipient: messages taken and answered, and those taken whose reply was not sent."""
        return {name: (taken, lost) for name, (taken, lost) in self._ask("recipients").items()}

    def takings(self) -> list[Taking]:
        """Each copy that was taken, one for each of its recipients, in the order in which they were complete."""
        return [Taking(*each) for each in self._ask("takings")]

    def digests(self) -> dict[str, int]:
        """How often a body with this SHA-256 (hexadecimal; line ends CRLF, dots unstuffed) was taken and answered."""
        found: dict[str, int] = self._ask("digests")
        return found

    def forget(self) -> None:
        """Begin to count anew."""
        self._ask("forget")

    def _ask(self, what: str, **more: object) -> Any:
        assert self._process is not None and self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# The process itself


@dataclass
class _Ledger:
    counts: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    recipients: dict[str, list[int]] = field(default_factory=dict)
    digests: Counter[str] = field(default_factory=Counter)
    takings: list[Taking] = field(default_factory=list)


class _Server:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.ledger = _Ledger()
        self.random = random.Random(settings["seed"])
        self.open = 0
        self._rules: list[tuple[ipaddress.IPv4Network, Rule]] = []
        self._of_address: dict[str, Rule] = {}
        host = settings["hostname"]
        lines = [host, *settings["capabilities"]]
        self.greeting = f"220 {host} ESMTP crowd".encode()
        self.ehlo = "\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]).encode()
        self.loop = asyncio.get_running_loop()

    def rule(self, address: str) -> Rule:
        found = self._of_address.get(address)
        if found is None:
            where = ipaddress.IPv4Address(address)
            found = next((rule for network, rule in self._rules if where in network), Rule())
            self._of_address[address] = found
        return found

    def answer(self, request: Mapping[str, Any]) -> object:
        ledger = self.ledger
        match request["do"]:
            case "counts":
                return {**ledger.counts, "open": self.open}
            case "addresses":
                return ledger.addresses
            case "recipients":
                return ledger.recipients
            case "takings":
                return [astuple(each) for each in ledger.takings]
            case "digests":
                return ledger.digests
            case "forget":
                self.ledger = _Ledger()
            case "rules":
                self._rules = [
                    (ipaddress.IPv4Network(network), Rule(**rule)) for network, rule in request["rules"].items()
                ]
                self._of_address.clear()
        return {}


class _Session(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self._server = server
        self._buffer = b""
        self._in_data = False
        self._chunk = -1  # octets of a BDAT chunk that are still to come
        self._last = False
        self._mailed = False
        self._recipients: list[str] = []
        self._kept: list[bytes] = []
        self._size = 0
        self._begun = self._first = 0.0
        self._ready = 0.0
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class
        self._address = transport.get_extra_info("sockname")[0]
        self._port = transport.get_extra_info("peername")[1]
        self._rule = self._server.rule(self._address)
        self._server.ledger.counts["connections"] += 1
        self._server.open += 1
        self._reply(self._rule.greeting, self._server.greeting)

    def connection_lost(self, exception: Exception | None) -> None:
        self._server.open -= 1
        self._over = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and not self._over and self._step():
            pass

    def _step(self) -> bool:
        """Take one command, or a piece of content; False where more octets are needed."""
        if self._in_data:
            return self._content()
        if self._chunk >= 0:
            return self._chunk_content()
        line, found, rest = self._buffer.partition(b"\n")
        if not found:
            return False
        self._buffer = rest
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._recipients = []
            self._mailed = self._reply(self._rule.mail, b"250 2.1.0 ok")
        elif verb == b"RCPT":
            if not self._mailed:
                self._reply("503 5.5.1 MAIL first", b"")
            elif self._reply(self._rule.rcpt, b"250 2.1.5 ok"):
                self._recipients.append(line[line.find(b"<") + 1 : line.rfind(b">")].decode("utf-8", "replace"))
        elif verb == b"DATA":
            if not self._recipients:
                self._reply("554 5.5.1 no valid recipients", b"")
            elif self._reply(self._rule.data, b"354 go ahead"):
                self._begin()
                self._in_data, self._buffer = True, b"\r\n" + self._buffer
        elif verb == b"BDAT":
            fields = line.split()
            self._chunk, self._last = int(fields[1]), len(fields) > 2
            self._begun = self._begun or time.monotonic()
        elif verb in (b"EHLO", b"HELO", b"LHLO"):
            self._reply("", self._server.ehlo)
        elif verb == b"RSET":
            self._mailed, self._recipients = False, []
            self._reply("", b"250 2.0.0 ok")
        elif verb == b"NOOP":
            self._reply("", b"250 2.0.0 ok")
        elif verb == b"QUIT":
            self._reply("", b"221 2.0.0 bye")
            self._close()
        else:
            self._reply("500 5.5.2 command unknown", b"")
        return True

    def _begin(self) -> None:
        self._kept, self._size = [], 0
        self._begun, self._first = time.monotonic(), 0.0

    def _content(self) -> bool:
        end = self._buffer.find(b"\r\n.\r\n")
        # The line end before the first octet is the command's; what may begin the end stays in the buffer.
        piece = self._buffer[: end + 2 if end >= 0 else max(0, len(self._buffer) - 4)]
        self._keep(piece)
        if end < 0:
            self._buffer = self._buffer[len(piece) :]
            return False
        self._buffer = self._buffer[end + 5 :]
        self._in_data = False
        self._size -= 2
        self._take(stuffed=True)
        return True

    def _chunk_content(self) -> bool:
        piece = self._buffer[: self._chunk]
        self._buffer = self._buffer[len(piece) :]
        self._keep(piece)
        self._chunk -= len(piece)
        if self._chunk:
            return False
        self._chunk = -1
        if self._last:
            self._take(stuffed=False)
        else:
            self._reply("", b"250 2.0.0 ok")
        return True

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if piece and not self._first:
            self._first = time.monotonic()
        if self._server.settings["digests"]:
            self._kept.append(piece)

    def _take(self, stuffed: bool) -> None:
        ledger, recipients, size = self._server.ledger, self._recipients, self._size
        content = b"".join(self._kept)
        takings = self._takings()
        self._mailed, self._recipients = False, []
        self._kept, self._size, self._begun, self._first = [], 0, 0.0, 0.0
        if not recipients:
            self._reply("554 5.5.1 no valid recipients", b"")
            return
        if self._rule.content and self._rule.content[0] != "2":
            self._reply(self._rule.content, b"")
            return
        ledger.takings += takings
        answered = self._reply(self._rule.content, b"250 2.0.0 ok taken", lambda: _written(takings))
        for taking in takings:
            taking.lost = not answered
        ledger.counts["messages" if answered else "lost_replies"] += 1
        if answered:
            ledger.counts["recipients"] += len(recipients)
            ledger.counts["octets"] += size
            ledger.addresses[self._address] += 1
            if self._server.settings["digests"]:
                plain = content[2:].replace(b"\r\n..", b"\r\n.") if stuffed else content
                ledger.digests[hashlib.sha256(plain.partition(b"\r\n\r\n")[2]).hexdigest()] += 1
        if self._server.settings["recipients"]:
            for each in recipients:
                ledger.recipients.setdefault(each, [0, 0])[0 if answered else 1] += 1

    def _takings(self) -> list[Taking]:
        if not self._server.settings["takings"]:
            return []
        now = time.monotonic()
        place = self._address, self._port, self._size
        return [Taking(each, *place, self._begun, self._first, now) for each in self._recipients]

    def _reply(self, special: str, usual: bytes, written: Callable[[], None] | None = None) -> bool:
        """Give a reply; whether it was given, and a positive one.  `written` is called when it goes out."""
        if self._over:
            return False
        if self._rule.flaky and self._server.random.random() < self._rule.flaky:
            self._over = True
            self._transport.abort()
            return False
        reply = special.encode() if special else usual
        self._write(reply + b"\r\n", written)
        if reply[:1] in b"45":
            self._server.ledger.counts["refused"] += 1
            if reply.startswith(b"421"):
                self._close()
            return False
        return True

    def _write(self, data: bytes, written: Callable[[], None] | None) -> None:
        if not self._rule.delay:
            self._write_now(data, written)
            return
        loop = self._server.loop
        self._ready = max(loop.time(), self._ready) + self._rule.delay
        loop.call_at(self._ready, self._write_now, data, written)

    def _write_now(self, data: bytes, written: Callable[[], None] | None) -> None:
        if self._transport.is_closing():
            return
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop: the connection broke in this very moment
            return
        if written is not None:
            written()

    def _close(self) -> None:
        self._over = True
        if self._rule.delay:
            self._server.loop.call_at(self._ready + 0.001, self._transport.close)
        else:
            self._transport.close()


def _written(takings: list[Taking]) -> None:
    now = time.monotonic()
    for taking in takings:
        taking.replied = now


async def _serve(settings: Mapping[str, Any]) -> None:
    server = _Server(settings)
    listener = socket.create_server((settings["address"], settings["port"]), backlog=_BACKLOG)
    await server.loop.create_server(lambda: _Session(server), sock=listener, backlog=_BACKLOG)
    orders = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await server.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while line := await orders.readline():
        print(json.dumps(server.answer(json.loads(line))), flush=True)


def main() -> int:
    """The process: settings as JSON in the first argument, then orders on standard input until its end."""
    settings = json.loads(sys.argv[1])
    run = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        run = uvloop.run
    run(_serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
